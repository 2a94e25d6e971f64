/**
 * A proof, years later, with nothing but the keys that the verifier trusts. Each signature counts as of the day it was
 * made: what has expired since is told, and fails nothing. The documents prove themselves; the list of hashes beside
 * them only finds damage, so it is asked last.
 */
import { formatTimestamp } from '../domain/clock.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { Custody } from '../jmix/custody.js';
import { type Manifest, readManifest } from '../jmix/manifest.js';
import { type SignatureVerdict, verifySignatures } from '../jmix/signatures.js';
import { assertProofWhole, PROOF_FILES, type ProofFiles } from '../trust/proof.js';
import { boundKeys, type CheckedReceipt, checkReceipt } from './check-receipt.js';
import { type Checks, createChecks } from './checks.js';
import { assertReceiver, type Signers, type TrustOptions, trustIn } from './trust-options.js';
import { checkTrail } from './verify-envelope.js';

/** In the order in which failures count. */
const PROOF_CHECKS = [
  'manifest',
  'receiver',
  'signature',
  'custody',
  'receipt',
  'receipt_custody',
  'refusal',
  'files',
] as const;

export interface ProofFindings {
  readonly checks: Checks<(typeof PROOF_CHECKS)[number]>;
  readonly manifest?: Manifest;
  readonly verdict?: SignatureVerdict;
  readonly custody?: Custody;
  readonly receipt?: CheckedReceipt;
  readonly refusal?: CheckedReceipt;
  /** Since when the sender's assertion has been past its own date, RFC 3339. */
  readonly assertionExpiredAt?: string;
}

export async function verifyProof(
  files: ProofFiles,
  signers: Signers,
  options: TrustOptions,
): Promise<ProofFindings> {
  const checks = createChecks(PROOF_CHECKS);
  await checks.run('files', () => assertProofWhole(files));
  const manifest = await checks.run('manifest', () => manifestIn(files));
  if (manifest === undefined) return { checks };
  if (options.receiver !== undefined) await checks.run('receiver', () => assertReceiver(options, manifest));

  const jws = files.get(PROOF_FILES.jws);
  const verdict = await checks.run('signature', () =>
    verifySignatures({
      manifest,
      manifestBytes: manifestBytesIn(files),
      ...(jws === undefined ? {} : { jws }),
      trust: trustIn(signers, manifest),
      // As of the day it was sealed.
      nowMs: manifest.timestampMs,
    }),
  );
  if (verdict !== undefined && !verdict.payloadCovered) checks.note('signature', 'absent');
  const start = files.get(PROOF_FILES.audit);
  const known = boundKeys(signers.keys, manifest.sender.id, verdict?.signedBy);
  const custody = await checkTrail(checks, start, manifest, known);
  const request = { manifest, start, known, allowUnknown: signers.allowUnsigned };
  const receipt = await checkReceipt(checks, files.get(PROOF_FILES.receipt), request);
  const refusal = await checkRefusal(checks, files.get(PROOF_FILES.refusal), request);
  const assertionExpiredAt = expiredAt(manifest);
  return {
    checks,
    manifest,
    ...(verdict === undefined ? {} : { verdict }),
    ...(custody === undefined ? {} : { custody }),
    ...(receipt === undefined ? {} : { receipt }),
    ...(refusal === undefined ? {} : { refusal }),
    ...(assertionExpiredAt === undefined ? {} : { assertionExpiredAt }),
  };
}

/** An earlier receipt, by the same rules, as one check. */
async function checkRefusal(
  checks: Checks<'refusal'>,
  jws: Buffer | undefined,
  request: Parameters<typeof checkReceipt>[2],
): Promise<CheckedReceipt | undefined> {
  const own = createChecks(['receipt', 'receipt_custody'] as const);
  const refusal = await checkReceipt(own, jws, request);
  const failure = own.firstFailure();
  if (failure === undefined) checks.note('refusal', own.resultOf('receipt'));
  else checks.fail('refusal', failure.code, failure.message);
  return refusal;
}

function manifestIn(files: ProofFiles): Manifest {
  return readManifest(manifestBytesIn(files));
}

function manifestBytesIn(files: ProofFiles): Buffer {
  const bytes = files.get(PROOF_FILES.manifest);
  if (bytes === undefined)
    throw new GatewayError('ENVELOPE_MALFORMED', `the proof has no ${PROOF_FILES.manifest}`);
  return bytes;
}

function expiredAt({ sender }: Manifest): string | undefined {
  const expiresAtMs = Date.parse(String(sender.assertion?.['expires_at']));
  return expiresAtMs <= Date.now() ? formatTimestamp(expiresAtMs) : undefined;
}

/**
 * All that can be said of an envelope with the keys at hand: each check by itself, so that one run tells everything. The
 * payload is opened only when what stands before it has verified, and nothing of it is written.
 */
import type { KeyObject } from 'node:crypto';
import { Writable } from 'node:stream';
import { GatewayError } from '../errors/gateway-error.js';
import { attestationOf } from '../jmix/assertion.js';
import { parseAuditTrail } from '../jmix/audit-trail.js';
import { type Custody, judgeCustody, type KnownKey } from '../jmix/custody.js';
import type { EnvelopeSource } from '../jmix/envelope-folder.js';
import { type Manifest, readManifest } from '../jmix/manifest.js';
import { type OpenedEnvelope, openEnvelope } from '../jmix/open.js';
import { type SignatureVerdict, type Trust, verifySignatures } from '../jmix/signatures.js';
import { type Attestation, attestsSigner, readAttestation } from '../trust/attestation.js';
import { boundKeys, type CheckedReceipt, checkReceipt } from './check-receipt.js';
import { type Checks, createChecks } from './checks.js';
import { type EnvelopeInput, MAX_BYTES, MAX_ENTRIES } from './envelope-input.js';
import { withOpenpgp } from './openpgp-input.js';
import {
  ageLimitsOf,
  assertAgeOf,
  assertReceiver,
  inspectorOf,
  type Signers,
  type TrustOptions,
  trustIn,
} from './trust-options.js';

/** In the order in which failures count. */
const ENVELOPE_CHECKS = [
  'envelope',
  'manifest',
  'encryption',
  'receiver',
  'signature',
  'age',
  'payload',
  'custody',
  'receipt',
  'receipt_custody',
  'attestation',
] as const;
type EnvelopeCheck = (typeof ENVELOPE_CHECKS)[number];

export interface EnvelopeFindings {
  readonly checks: Checks<EnvelopeCheck>;
  readonly manifest?: Manifest;
  readonly verdict?: SignatureVerdict;
  readonly opened?: OpenedEnvelope;
  readonly custody?: Custody;
  readonly receipt?: CheckedReceipt;
  readonly attestation?: Attestation;
  readonly source?: EnvelopeSource;
}

export interface VerifyRequest {
  readonly open: () => Promise<EnvelopeInput>;
  readonly signers: Signers;
  /** X25519, private; a payload that is not sealed needs none. */
  readonly recipientKeys: readonly KeyObject[];
  readonly receipt?: Buffer;
  /** Ed25519, of directories whose word the caller wants to hear. */
  readonly directoryKeys: readonly KeyObject[];
  readonly limits: TrustOptions;
  readonly signal: AbortSignal;
}

export async function verifyEnvelope(request: VerifyRequest): Promise<EnvelopeFindings> {
  const { signers, limits } = request;
  const checks = createChecks(ENVELOPE_CHECKS);
  const source = await checks.run('envelope', request.open);
  if (source === undefined) return { checks };
  const manifest = await checks.run('manifest', () => readManifest(source.manifest));
  if (manifest === undefined) return { checks, source };

  await checks.run('encryption', () => assertSealedAsSaid(source, manifest));
  if (limits.receiver !== undefined) await checks.run('receiver', () => assertReceiver(limits, manifest));
  const trust = trustIn(signers, manifest, source.openpgpSigner !== undefined);
  const within = await checks.run('signature', () =>
    verifySignatures({
      manifest,
      manifestBytes: source.manifest,
      ...(source.jws === undefined ? {} : { jws: source.jws }),
      trust,
      nowMs: Date.now(),
    }),
  );
  const verdict = within === undefined ? undefined : withOpenpgp(source, within);
  if (verdict !== undefined && !verdict.payloadCovered) checks.note('signature', 'absent');
  if (verdict !== undefined && ageLimitsOf(limits) !== undefined) {
    await checks.run('age', () => assertAgeOf(limits, manifest));
  }
  const opened =
    verdict === undefined || checks.firstFailure() !== undefined
      ? undefined
      : await openPayload(request, source, trust, checks);

  const known = boundKeys(signers.keys, manifest.sender.id, within?.signedBy);
  const custody = await checkTrail(checks, source.audit, manifest, known);
  const receipt = await checkReceipt(checks, request.receipt, {
    manifest,
    start: source.audit,
    known,
    allowUnknown: signers.allowUnsigned,
  });
  const attestation = await checkAttestation(checks, request.directoryKeys, manifest, verdict?.signedBy);
  return {
    checks,
    source,
    manifest,
    ...(verdict === undefined
      ? {}
      : { verdict: opened === undefined ? verdict : withOpenpgp(source, asOpened(verdict, opened)) }),
    ...(opened === undefined ? {} : { opened }),
    ...(custody === undefined ? {} : { custody }),
    ...(receipt === undefined ? {} : { receipt }),
    ...(attestation === undefined ? {} : { attestation }),
  };
}

/** What a look at the payload itself has left of the signature's worth. */
function asOpened(verdict: SignatureVerdict, opened: OpenedEnvelope): SignatureVerdict {
  const { signedBy: _, ...rest } = verdict;
  const { signedBy, isPinned, payloadCovered, manifestCovered } = opened;
  return {
    ...rest,
    ...(signedBy === undefined ? {} : { signedBy }),
    isPinned,
    payloadCovered,
    manifestCovered,
  };
}

/** What a directory says of the signer, as of the day of the envelope. It adds to the signature, and replaces none. */
async function checkAttestation(
  checks: Checks<'attestation'>,
  keys: readonly KeyObject[],
  { sender, timestampMs }: Manifest,
  signedBy: string | undefined,
): Promise<Attestation | undefined> {
  const jws = attestationOf(sender.assertion);
  if (jws === undefined) checks.note('attestation', 'absent');
  if (jws === undefined || keys.length === 0) return undefined;
  return checks.run('attestation', () => {
    const attestation = readAttestation(Buffer.from(jws), { keys, siteId: sender.id, nowMs: timestampMs });
    if (signedBy !== undefined && attestsSigner(attestation, signedBy)) return attestation;
    throw new GatewayError('DIRECTORY_INVALID', 'the directory attests another key than the one that signed');
  });
}

/** @param audit the bytes of audit.json */
export async function checkTrail(
  checks: Checks<'custody'>,
  audit: Buffer | undefined,
  manifest: Manifest,
  known: readonly KnownKey[],
): Promise<Custody | undefined> {
  if (audit === undefined) {
    checks.note('custody', 'absent');
    return undefined;
  }
  const subject = { envelopeId: manifest.id, manifestSha256: manifest.sha256 };
  const custody = await checks.run('custody', () => judgeCustody(parseAuditTrail(audit), subject, known));
  if (custody === undefined) return undefined;
  if (custody.brokenAt === undefined) checks.note('custody', custody.result);
  else
    checks.fail('custody', 'CUSTODY_BROKEN', `the chain of custody breaks at step ${custody.brokenAt + 1}`);
  return custody;
}

async function openPayload(
  { recipientKeys, limits, signal }: VerifyRequest,
  source: EnvelopeSource,
  trust: Trust,
  checks: Checks<EnvelopeCheck>,
): Promise<OpenedEnvelope | undefined> {
  if (source.payload.kind === 'sealed' && recipientKeys.length === 0) return undefined;
  return checks.run('payload', () =>
    openEnvelope({
      source,
      recipientKeys,
      trust,
      nowMs: Date.now(),
      limits: { maxEntries: MAX_ENTRIES, maxBytes: MAX_BYTES },
      signal,
      inspect: inspectorOf(limits),
      stage: async () => new Writable({ write: (_chunk, _encoding, done) => done() }),
    }),
  );
}

/** @throws ENCRYPTION_PARAMETERS_INVALID, ENVELOPE_MALFORMED */
function assertSealedAsSaid({ payload }: EnvelopeSource, { encryption }: Manifest): void {
  if (payload.kind === 'sealed' && encryption === undefined) {
    throw new GatewayError(
      'ENCRYPTION_PARAMETERS_INVALID',
      'the payload is sealed, but the manifest has no encryption block',
    );
  }
  if (payload.kind === 'plain' && encryption !== undefined) {
    throw new GatewayError(
      'ENVELOPE_MALFORMED',
      'the manifest names an encryption, but the payload is not sealed',
    );
  }
}

/** `drawbridge verify`: what an envelope, a receipt or a proof is worth, and the chain of custody. Writes nothing. */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { formatTimestamp } from '../domain/clock.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { Custody } from '../jmix/custody.js';
import type { SignatureVerdict } from '../jmix/signatures.js';
import type { Attestation } from '../trust/attestation.js';
import { readPublicKey } from '../trust/key-files.js';
import { readProof } from '../trust/proof-archive.js';
import { type CheckedReceipt, receiptJson, receiptLine } from './check-receipt.js';
import type { CheckResult } from './checks.js';
import { custodyJson, custodyLines, shortFingerprint } from './custody-view.js';
import { openEnvelopeInput, withScratch } from './envelope-input.js';
import { formsJson, manifestJson, manifestLines, visibleDialect } from './envelope-view.js';
import { interruptible } from './interruptible.js';
import { addOpenpgpOptions, type OpenpgpOptions } from './openpgp-input.js';
import { type JsonOption, printReport } from './output.js';
import { type PassphraseOption, passphraseOption, readOwnKeys } from './own-keys.js';
import { addTrustOptions, signersOf, type TrustOptions } from './trust-options.js';
import { type EnvelopeFindings, type VerifyRequest, verifyEnvelope } from './verify-envelope.js';
import { type ProofFindings, verifyProof } from './verify-proof.js';

interface VerifyOptions extends JsonOption, OpenpgpOptions, PassphraseOption, TrustOptions {
  readonly key?: readonly string[];
  readonly receipt?: string;
  readonly directoryKey?: readonly string[];
}

export function verifyCommand(): Command {
  const command = new Command('verify')
    .description(
      'verify signatures and the chain of custody of an envelope or a proof; with --key also the payload, to the last byte',
    )
    .argument('<envelope>', 'envelope or proof: folder or archive')
    .option('--key <file...>', 'our encryption.key')
    .addOption(passphraseOption())
    .option('--receipt <file>', 'the receiver’s receipt for this envelope')
    .option(
      '--directory-key <file...>',
      'a directory’s signing.pub: what it attests of the signer is checked',
    )
    .option('--json', 'one JSON object on standard output');
  return addOpenpgpOptions(addTrustOptions(command)).action(async (text: string, options: VerifyOptions) => {
    const signers = await signersOf(options);
    const path = resolve(text);
    const proof = await readProof(path);
    if (proof !== undefined) {
      printProof(options, await verifyProof(proof, signers, options));
      return;
    }
    const recipientKeys = await readOwnKeys(options.key ?? [], 'encryption', options);
    const directoryKeys = await Promise.all(
      (options.directoryKey ?? []).map((file) => readPublicKey(file, 'signing')),
    );
    const receipt = options.receipt === undefined ? undefined : await readReceiptFile(options.receipt);
    const scratch = join(tmpdir(), `drawbridge-verify-${randomUUID()}`);
    await interruptible((signal) =>
      withScratch(scratch, async () => {
        await mkdir(scratch, { mode: 0o700 });
        const request: VerifyRequest = {
          open: () => openEnvelopeInput(path, scratch, options, signal),
          signal,
          signers,
          recipientKeys,
          directoryKeys,
          limits: options,
          ...(receipt === undefined ? {} : { receipt }),
        };
        const findings = await verifyEnvelope(request);
        // What was interrupted is no finding.
        signal.throwIfAborted();
        printEnvelope(options, findings);
      }),
    );
  });
}

function printEnvelope(options: JsonOption, findings: EnvelopeFindings): void {
  const { checks, manifest, source, verdict, opened, custody, receipt, attestation } = findings;
  const dialect = manifest === undefined || source === undefined ? null : visibleDialect(manifest, source);
  const machine = {
    kind: 'envelope',
    ...(manifest === undefined ? {} : manifestJson(manifest)),
    dialect: opened?.dialect ?? dialect,
    ...signatureJson(verdict),
    payload_verified: opened !== undefined,
    checks: formsJson({ ...verdict?.checks, ...opened?.checks }),
    ...(opened === undefined ? {} : { unknown_fields: opened.unknownMembers }),
    results: checks.toJson(),
    custody: custody === undefined ? null : custodyJson(custody),
    receipt: receipt === undefined ? null : receiptJson(receipt),
    attestation: attestation === undefined ? null : attestationJson(attestation),
  };
  const human = [
    ...(manifest === undefined ? [] : manifestLines(manifest)),
    signatureLine(verdict),
    ...(attestation === undefined ? [] : [`attested   the signer, by ${attestation.provider}`]),
    `payload    ${PAYLOAD_TEXT[checks.resultOf('payload')]}`,
    ...custodyText(custody),
    ...(receipt === undefined ? [] : receiptText(receipt)),
  ];
  printReport(options, machine, human.join('\n'), checks.firstFailure());
}

const PAYLOAD_TEXT: Readonly<Record<CheckResult, string>> = {
  ok: 'verified, to the last byte',
  failed: 'NOT GOOD',
  absent: 'none',
  not_checked: 'not opened: no --key, or what stands in front of it failed',
};

function printProof(options: JsonOption, findings: ProofFindings): void {
  const { checks, manifest, verdict, custody, receipt, refusal, assertionExpiredAt } = findings;
  const machine = {
    kind: 'proof',
    ...(manifest === undefined ? {} : manifestJson(manifest)),
    ...signatureJson(verdict),
    assertion_expired_at: assertionExpiredAt ?? null,
    checks: formsJson({ ...verdict?.checks }),
    results: checks.toJson(),
    custody: custody === undefined ? null : custodyJson(custody),
    receipt: receipt === undefined ? null : receiptJson(receipt),
    refusal: refusal === undefined ? null : receiptJson(refusal),
  };
  const human = [
    ...(manifest === undefined ? [] : manifestLines(manifest)),
    signatureLine(verdict),
    ...(assertionExpiredAt === undefined
      ? []
      : [`           its own date passed at ${assertionExpiredAt}; it counts as of the day it was made`]),
    ...custodyText(custody),
    ...(refusal === undefined ? [] : receiptText(refusal)),
    ...(receipt === undefined ? ['receipt    none in this proof'] : receiptText(receipt)),
  ];
  printReport(options, machine, human.join('\n'), checks.firstFailure());
}

function attestationJson({ provider, issuedAtMs, expiresAtMs, signedBy }: Attestation) {
  return {
    provider,
    issued_at: formatTimestamp(issuedAtMs),
    expires_at: formatTimestamp(expiresAtMs),
    signed_by: signedBy,
  };
}

function signatureJson(verdict: SignatureVerdict | undefined) {
  return {
    signed_by: verdict?.signedBy ?? null,
    signer_pinned: verdict?.isPinned ?? false,
    payload_signed: verdict?.payloadCovered ?? false,
    manifest_signed: verdict?.manifestCovered ?? false,
  };
}

function signatureLine(verdict: SignatureVerdict | undefined): string {
  if (verdict === undefined) return 'signature  NOT GOOD';
  if (verdict.signedBy === undefined) return 'signature  by nobody known: anyone may have made this';
  const whose = verdict.isPinned ? '' : ', a key that was not given: anyone may have made it';
  const extent = verdict.manifestCovered ? 'the whole manifest and the payload' : 'the payload';
  return `signature  good, by ${shortFingerprint(verdict.signedBy)}${whose}; covers ${extent}`;
}

function custodyText(custody: Custody | undefined): readonly string[] {
  return custody === undefined ? ['custody    no audit trail'] : ['custody', ...custodyLines(custody)];
}

function receiptText(receipt: CheckedReceipt): readonly string[] {
  return [receiptLine(receipt), ...custodyLines(receipt.custody)];
}

async function readReceiptFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new GatewayError('REQUEST_INVALID', `there is no receipt ${path}`, { cause });
  }
}

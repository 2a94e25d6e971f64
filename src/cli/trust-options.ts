/**
 * Whose signature a command wants to see (`--signer`, `--allow-unsigned`; one of them must be given), and what else an
 * envelope must be for it to be taken: of this age, for this receiver, of instances that are what they are called and
 * nothing besides.
 */
import { stat } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { createHeadInspector, type PreamblePolicy } from '../dicom/instance-head.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { KnownKey } from '../jmix/custody.js';
import { type AgeLimits, assertAge } from '../jmix/envelope-age.js';
import type { Manifest } from '../jmix/manifest.js';
import type { Trust } from '../jmix/signatures.js';
import { readPublicKey } from '../trust/key-files.js';

export interface TrustOptions {
  readonly signer?: readonly string[];
  readonly allowUnsigned?: boolean;
  readonly openpgpSigner?: readonly string[];
  readonly receiver?: string;
  readonly maxAgeDays?: number;
  readonly maxFutureMinutes?: number;
  readonly preamble: PreamblePolicy;
}

/** What the caller trusts. */
export interface Signers {
  readonly keys: readonly KnownKey[];
  readonly allowUnsigned: boolean;
}

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

export function addTrustOptions(command: Command): Command {
  return command
    .option(
      '--signer <file...>',
      'a signing key that counts, the sender’s first of all; ID=FILE lets it count for that party alone',
    )
    .option(
      '--allow-unsigned',
      'take an envelope that nobody signed, or whose signer is not known: anyone may have made it',
    )
    .option('--receiver <id>', 'refuse an envelope that is not addressed to this organisation')
    .option('--max-age-days <n>', 'refuse an older envelope', toNumber)
    .option('--max-future-minutes <n>', 'refuse one that is dated further ahead of this clock', toNumber)
    .addOption(
      new Option(
        '--preamble <what>',
        'an instance whose first 128 bytes are neither zeros nor TIFF, so that the file may be a program',
      )
        .choices(['refuse', 'blank', 'keep'])
        .default('refuse'),
    );
}

/** @throws REQUEST_INVALID when neither signers nor `--allow-unsigned` are given, KEY_UNREADABLE */
export async function signersOf(options: TrustOptions): Promise<Signers> {
  const keys = await Promise.all((options.signer ?? []).map(readSigner));
  const allowUnsigned = options.allowUnsigned === true;
  if (!allowUnsigned && keys.length === 0 && options.openpgpSigner === undefined) {
    throw new GatewayError('REQUEST_INVALID', 'expected --signer <file>, or --allow-unsigned to do without');
  }
  return { keys, allowUnsigned };
}

/**
 * Whose signature on this manifest counts.
 * @param vouched whether an OpenPGP signature that counts is over all of the envelope already
 */
export function trustIn({ keys, allowUnsigned }: Signers, manifest: Manifest, vouched = false): Trust {
  const ofSender = keys
    .filter(({ id }) => id === undefined || id === manifest.sender.id)
    .map(({ key }) => key);
  if (!allowUnsigned && !vouched) return { kind: 'pinned', keys: ofSender };
  return { kind: 'allow-unsigned', ...(ofSender.length === 0 ? {} : { keys: ofSender }) };
}

/** @throws RECIPIENT_MISMATCH */
export function assertReceiver({ receiver }: TrustOptions, manifest: Manifest): void {
  if (receiver === undefined || manifest.receivers.some(({ id }) => id === receiver)) return;
  throw new GatewayError('RECIPIENT_MISMATCH', `the envelope is not addressed to ${receiver}`);
}

/** The limits that were asked for; undefined when none was. */
export function ageLimitsOf({ maxAgeDays, maxFutureMinutes }: TrustOptions): AgeLimits | undefined {
  if (maxAgeDays === undefined && maxFutureMinutes === undefined) return undefined;
  return {
    maxAgeMs: (maxAgeDays ?? Number.POSITIVE_INFINITY) * DAY_MS,
    maxFutureMs: (maxFutureMinutes ?? Number.POSITIVE_INFINITY) * MINUTE_MS,
  };
}

/** The age is worth what the signature is worth: to be asked once that has been judged. @throws ENVELOPE_TOO_OLD, ENVELOPE_FROM_FUTURE */
export function assertAgeOf(options: TrustOptions, manifest: Manifest): void {
  const limits = ageLimitsOf(options);
  if (limits !== undefined) assertAge(manifest.timestampMs, limits, Date.now());
}

/** What `openEnvelope` asks of each instance. */
export function inspectorOf({ preamble }: TrustOptions) {
  return createHeadInspector(preamble);
}

/** `FILE` or `ID=FILE`; a file whose own name has a `=` in it comes first. */
async function readSigner(text: string): Promise<KnownKey> {
  const at = text.lastIndexOf('=');
  const isFile = await stat(text).then(
    () => true,
    () => false,
  );
  if (at <= 0 || isFile) return { key: await readPublicKey(text, 'signing') };
  return { id: text.slice(0, at), key: await readPublicKey(text.slice(at + 1), 'signing') };
}

function toNumber(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError('expected a number, 0 or more');
}

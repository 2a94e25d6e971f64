/**
 * Decrypts one OpenPGP message and tells who signed it. gpg gives plaintext away long before it knows whether that is
 * true: whatever `consume` makes of it must stay out of sight until this has returned. Demanded of gpg's status: one
 * encrypted message for a public key of ours, one plaintext in it, protected against modification and proved whole
 * (RFC 9580 §5.13: MDC or AEAD), and every signature within. Whose signature counts is signer.ts.
 */
import { Readable } from 'node:stream';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import type { Gnupg } from './home.js';
import { ownKeys } from './own-key.js';
import { type GpgOutcome, KILLED, runGpg } from './run.js';
import { argsOf, has, lacksPassphrase, type StatusLine } from './status.js';

export interface Decryption<T> {
  readonly gnupg: Gnupg;
  /** The message, binary or armoured; read to its end. */
  readonly message: AsyncIterable<Buffer>;
  /** The plaintext may be so long, after decompression. */
  readonly maxBytes: number;
  /** Reads the plaintext, of which nothing is true yet. */
  consume(plaintext: Readable): Promise<T>;
  readonly signal?: AbortSignal;
}

export interface Decrypted<T> {
  readonly value: T;
  readonly signatures: readonly Signature[];
}

/** What gpg found of one signature. */
export interface Signature {
  /** `bad` where what gpg says of it contradicts itself. */
  readonly verdict: 'good' | 'bad' | 'expired' | 'expired-key' | 'revoked-key' | 'unchecked';
  /** Of the primary key, upper hex; undefined where gpg could not check the signature. */
  readonly primaryFingerprint?: string;
}

/** How each line of the status judges a signature. */
const VERDICTS: Readonly<Record<string, Signature['verdict']>> = {
  GOODSIG: 'good',
  EXPSIG: 'expired',
  EXPKEYSIG: 'expired-key',
  REVKEYSIG: 'revoked-key',
  ERRSIG: 'unchecked',
};

/** Each of them exactly once, and in this order. */
const MUST_HAPPEN = ['BEGIN_DECRYPTION', 'PLAINTEXT', 'DECRYPTION_OKAY', 'GOODMDC', 'END_DECRYPTION'];
/** What no message that is whole makes gpg say. */
const MUST_NOT_HAPPEN = ['DECRYPTION_FAILED', 'BADMDC', 'NODATA', 'UNEXPECTED', 'BADARMOR', 'FAILURE'];

/** What the plaintext seems to be may be the work of who changed the message: gpg's judgement on that goes first. */
const DUE_TO_PLAINTEXT: ReadonlySet<string> = new Set(['ENVELOPE_MALFORMED', 'ARCHIVE_UNSAFE']);

/**
 * @throws PAYLOAD_DECRYPT_FAILED when it is not for us, not protected, changed or cut off; ASSERTION_INVALID when a
 *   signature by a key that we have does not verify; ENVELOPE_TOO_LARGE; KEY_LOCKED; OPENPGP_UNAVAILABLE; CANCELLED; what `message` and `consume` throw
 */
export async function decryptMessage<T>(request: Decryption<T>): Promise<Decrypted<T>> {
  const outcome = await runGpg(request.gnupg, {
    args: ['--decrypt'],
    uses: 'private keys',
    input: request.message,
    consume: (output) => consumeAll(request, output),
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  });
  const { output, status } = outcome;
  // Neither the disk's failure nor our own limit says anything of the message.
  if (!output.ok && !isDueToPlaintext(output.error)) throw output.error;
  if (outcome.exitCode === KILLED) throw new GatewayError('CANCELLED', 'GnuPG was killed before it was done');
  if (!has(status, 'DECRYPTION_KEY')) await assertKeysAreThere(request.gnupg);
  assertDecrypted(outcome);
  if (!output.ok) throw output.error;
  return { value: output.value, signatures: signaturesIn(status) };
}

async function consumeAll<T>({ consume, maxBytes }: Decryption<T>, output: Readable): Promise<T> {
  const plaintext = Readable.from(withLimit(output, maxBytes), { objectMode: false });
  try {
    const value = await consume(plaintext);
    await drain(plaintext);
    return value;
  } catch (error) {
    if (isDueToPlaintext(error)) await drain(plaintext);
    throw error;
  } finally {
    plaintext.destroy();
  }
}

/** An archive may end before its message does, or be given up: gpg judges when it has come to the end. */
async function drain(plaintext: Readable): Promise<void> {
  if (!plaintext.readableEnded) for await (const _ of plaintext);
}

async function* withLimit(output: Readable, maxBytes: number): AsyncGenerator<Buffer, void, undefined> {
  let bytes = 0;
  for await (const chunk of output as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new GatewayError('ENVELOPE_TOO_LARGE', `the message holds more than ${maxBytes} bytes`, {
        facts: { maxBytes },
      });
    }
    yield chunk;
  }
}

/**
 * That gpg finds no key for a message is said of the message only when there are keys: it says the same, or nothing, where
 * its options, its keyring or our private keys are gone.
 *
 * @throws OPENPGP_UNAVAILABLE
 */
async function assertKeysAreThere(gnupg: Gnupg): Promise<void> {
  if ((await ownKeys(gnupg)).length > 0) return;
  throw new GatewayError('OPENPGP_UNAVAILABLE', `there is no OpenPGP key of ours in ${gnupg.homeDir}`);
}

function isDueToPlaintext(error: unknown): boolean {
  return isGatewayError(error) && DUE_TO_PLAINTEXT.has(error.code);
}

function assertDecrypted({ status, exitCode }: GpgOutcome<unknown>): void {
  if (lacksPassphrase(status) && !has(status, 'NEED_PASSPHRASE_SYM', 'DECRYPTION_KEY')) {
    throw new GatewayError('KEY_LOCKED', 'the passphrase of our OpenPGP key is missing or wrong');
  }
  // Here gpg stops, and does not say whether the message was changed or only signed wrongly.
  if (has(status, 'BADSIG')) {
    throw new GatewayError(
      'ASSERTION_INVALID',
      'the OpenPGP message was changed, or its signature is of another one',
    );
  }
  // A message for a passphrase is nobody's in particular.
  if (!has(status, 'DECRYPTION_KEY')) failed('it is encrypted to no key of ours, or is no encrypted message');
  if (has(status, 'DECRYPTION_OKAY') && !has(status, 'GOODMDC')) {
    failed('it is not protected against modification');
  }
  const happened = status
    .filter(({ keyword }) => MUST_HAPPEN.includes(keyword))
    .map(({ keyword }) => keyword);
  if (has(status, ...MUST_NOT_HAPPEN) || happened.join() !== MUST_HAPPEN.join()) {
    failed('it was changed or cut off, or is not one message');
  }
  // Signatures that are not good are judged by whoever knows the signers.
  const excused = signaturesIn(status).some(({ verdict }) => verdict !== 'good');
  if (exitCode !== 0 && !excused) failed('GnuPG does not say why');
}

function failed(why: string): never {
  throw new GatewayError('PAYLOAD_DECRYPT_FAILED', `the OpenPGP message cannot be decrypted: ${why}`);
}

function signaturesIn(status: readonly StatusLine[]): readonly Signature[] {
  const inside = status.slice(
    status.findIndex(({ keyword }) => keyword === 'PLAINTEXT'),
    status.findIndex(({ keyword }) => keyword === 'END_DECRYPTION'),
  );
  // One of each for every signature; they cannot be told apart otherwise.
  const starts = inside.flatMap(({ keyword }, index) => (keyword === 'NEWSIG' ? [index] : []));
  return starts.map((start, index) => readSignature(inside.slice(start, starts[index + 1])));
}

/** @param lines from one NEWSIG to the next */
function readSignature(lines: readonly StatusLine[]): Signature {
  const verdicts = lines.flatMap(({ keyword }) => VERDICTS[keyword] ?? []);
  const [verdict = 'unchecked', ...more] = verdicts;
  // VALIDSIG: fingerprint, date, time, expiry, version, reserved, algorithms, class, fingerprint of the primary key.
  const [valid] = argsOf(lines, 'VALIDSIG');
  const primaryFingerprint = valid?.[9] ?? valid?.[0];
  if (more.length > 0 || (verdict === 'good' && primaryFingerprint === undefined)) return { verdict: 'bad' };
  return { verdict, ...(primaryFingerprint === undefined ? {} : { primaryFingerprint }) };
}

/**
 * Makes one OpenPGP message of a stream: signed by our key, encrypted to a partner's keys, as gpg's own configuration has
 * it. The plaintext goes from the caller's stream into gpg, and touches no disk.
 */
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../errors/gateway-error.js';
import { classifyEnvelopeError } from '../jmix/classify.js';
import { destroyed } from '../jmix/pipe-into.js';
import type { Gnupg } from './home.js';
import { type GpgOutcome, KILLED, runGpg } from './run.js';
import { argsOf, has, lacksPassphrase } from './status.js';

export interface Encryption {
  readonly gnupg: Gnupg;
  readonly plaintext: AsyncIterable<Buffer>;
  /** Fingerprint of our primary key. */
  readonly signer: string;
  /** Fingerprints of the receiver's primary keys; at least one. */
  readonly recipients: readonly string[];
  /** Takes the message, binary; is ended on success, destroyed on failure. */
  readonly messageSink: Writable;
  readonly signal?: AbortSignal;
}

/** Why gpg refuses a recipient (doc/DETAILS, INV_RECP), where it says more than that it does. */
const REASONS: Readonly<Record<string, string>> = {
  '1': 'it is not in our keyring; set openpgpKeyFile',
  '3': 'it is not for encryption',
  '4': 'it was revoked',
  '5': 'it has expired',
};

/**
 * @throws PEER_REFUSED when a key of the receiver is missing or cannot be used any more; KEY_LOCKED;
 *   OPENPGP_UNAVAILABLE; CANCELLED; what `plaintext` and `messageSink` throw
 */
export async function encryptMessage(request: Encryption): Promise<void> {
  try {
    await encryptInto(request);
    await pipeline([], request.messageSink);
  } catch (error) {
    await destroyed(request.messageSink);
    throw error;
  }
}

async function encryptInto({ gnupg, plaintext, signer, recipients, messageSink, signal }: Encryption) {
  if (recipients.length === 0) throw new GatewayError('PEER_REFUSED', 'the peer has no OpenPGP fingerprint');
  const outcome = await runGpg(gnupg, {
    args: [
      // Which key is whose, the config says, by fingerprint; the web of trust has no part in it.
      ...['--trust-model', 'always', '--sign', '--encrypt', '--local-user', signer],
      ...recipients.flatMap((fingerprint) => ['--recipient', fingerprint]),
      ...['--output', '-'],
    ],
    uses: 'private keys',
    input: plaintext,
    // Not ended before gpg's status is known: what is ended counts as whole.
    consume: (output) => pipeline(output, messageSink, { end: false }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (!outcome.output.ok) throw classifyEnvelopeError(outcome.output.error, signal);
  assertEncrypted(outcome, signer);
}

function assertEncrypted({ status, exitCode, words }: GpgOutcome<unknown>, signer: string): void {
  const [refused] = argsOf(status, 'INV_RECP');
  if (refused !== undefined) {
    const [reason = '', fingerprint = ''] = refused;
    const why = REASONS[reason] ?? 'GnuPG refuses it';
    throw new GatewayError('PEER_REFUSED', `the OpenPGP key of the peer cannot be used: ${why}`, {
      facts: { fingerprint },
    });
  }
  if (lacksPassphrase(status)) {
    throw new GatewayError('KEY_LOCKED', 'the passphrase of our OpenPGP key is missing or wrong');
  }
  if (exitCode === KILLED) throw new GatewayError('CANCELLED', 'GnuPG was killed before it was done');
  // SIG_CREATED: type, algorithms, class, time, fingerprint; S: a signature over what is in the message.
  const signed = argsOf(status, 'SIG_CREATED').some(([type]) => type === 'S');
  if (exitCode === 0 && signed && has(status, 'END_ENCRYPTION') && !has(status, 'FAILURE')) return;
  throw new GatewayError(
    'OPENPGP_UNAVAILABLE',
    `GnuPG did not encrypt (exit code ${exitCode}): ${words.trim()}`,
    {
      facts: { signer },
    },
  );
}

/** Our OpenPGP key: made or brought in once by an operator, found by every process. */
import { createReadStream } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { GatewayError } from '../errors/gateway-error.js';
import { type ListedKey, parseKeyList } from './colons.js';
import { ensureGnupgHome, type Gnupg } from './home.js';
import { type GpgCall, type GpgOutcome, runGpg } from './run.js';
import { argsOf, lacksPassphrase } from './status.js';

const MAX_LIST_BYTES = 4 * 1024 * 1024;

export interface NewKey {
  /** Who we are, as partners see it in their keyrings. */
  readonly name: string;
  readonly contact: string;
  /** As gpg reads it: `2y`, `2030-12-31`; absent: it never expires. */
  readonly expires?: string;
}

/** Every private key of the home, the newest first. @throws OPENPGP_UNAVAILABLE */
export async function ownKeys(gnupg: Gnupg): Promise<readonly ListedKey[]> {
  const { output } = await gpgOk(gnupg, ['--list-secret-keys', '--with-colons'], 'private keys');
  return [...parseKeyList(output.toString('utf8'))].sort((a, b) => b.createdAt - a.createdAt);
}

/**
 * The key that we sign with: the newest that may. Older ones still open what comes.
 * @throws OPENPGP_UNAVAILABLE when there is none
 */
export async function ownKey(gnupg: Gnupg): Promise<ListedKey> {
  const key = (await ownKeys(gnupg)).find(({ usable, canSign }) => usable && canSign);
  if (key !== undefined) return key;
  throw new GatewayError(
    'OPENPGP_UNAVAILABLE',
    `there is no OpenPGP key of ours that may sign in ${gnupg.homeDir}`,
  );
}

/** Makes a key: Ed25519 to sign, Curve25519 to encrypt. @returns its fingerprint @throws OPENPGP_UNAVAILABLE */
export async function makeOwnKey(gnupg: Gnupg, key: NewKey): Promise<string> {
  await ensureGnupgHome(gnupg);
  const expires = key.expires ?? 'never';
  const unlocked = gnupg.passphraseFile === undefined ? ['--passphrase', ''] : [];
  const making = ['--quick-generate-key', '--', userIdOf(key), 'ed25519', 'cert,sign', expires];
  const { outcome } = await gpgOk(gnupg, [...unlocked, ...making], 'private keys');
  const fingerprint = argsOf(outcome.status, 'KEY_CREATED')[0]?.[1];
  if (fingerprint === undefined) throw unavailable(outcome);
  await gpgOk(
    gnupg,
    [...unlocked, '--quick-add-key', '--', fingerprint, 'cv25519', 'encr', expires],
    'private keys',
  );
  return fingerprint;
}

/** Brings in a key that was made elsewhere, as `gpg --export-secret-keys` writes it. @returns its fingerprint */
export async function importOwnKey(gnupg: Gnupg, path: string): Promise<string> {
  await ensureGnupgHome(gnupg);
  const { outcome } = await gpgOk(gnupg, ['--import'], 'private keys', createReadStream(path));
  // IMPORT_OK: what was done, fingerprint; bit 16: with a private key.
  const found = argsOf(outcome.status, 'IMPORT_OK').find(([flags]) => (Number(flags) & 16) !== 0);
  if (found?.[1] !== undefined) return found[1];
  throw new GatewayError('REQUEST_INVALID', 'the file holds no private OpenPGP key');
}

/** The public half, armoured, for partners. @throws OPENPGP_UNAVAILABLE */
export async function exportPublicKey(gnupg: Gnupg, fingerprint: string): Promise<string> {
  const args = ['--armor', '--export-options', 'export-minimal', '--export', '--', fingerprint];
  return (await gpgOk(gnupg, args, 'keyring')).output.toString('latin1');
}

/** @throws OPENPGP_UNAVAILABLE, KEY_LOCKED */
async function gpgOk(
  gnupg: Gnupg,
  args: readonly string[],
  uses: GpgCall<Buffer>['uses'],
  input?: AsyncIterable<Buffer>,
): Promise<{ readonly output: Buffer; readonly outcome: GpgOutcome<Buffer> }> {
  const outcome = await runGpg(gnupg, {
    args,
    uses,
    consume: (output) => buffer(bounded(output)),
    ...(input === undefined ? {} : { input }),
  });
  if (!outcome.output.ok) throw outcome.output.error;
  if (outcome.exitCode !== 0 && lacksPassphrase(outcome.status)) {
    throw new GatewayError('KEY_LOCKED', 'the passphrase of our OpenPGP key is missing or wrong');
  }
  if (outcome.exitCode !== 0) throw unavailable(outcome);
  return { output: outcome.output.value, outcome };
}

async function* bounded(output: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let bytes = 0;
  for await (const chunk of output) {
    bytes += chunk.length;
    if (bytes > MAX_LIST_BYTES) throw new GatewayError('OPENPGP_UNAVAILABLE', 'the keyring is too large');
    yield chunk;
  }
}

function unavailable({ exitCode, words }: GpgOutcome<unknown>): GatewayError {
  return new GatewayError('OPENPGP_UNAVAILABLE', `GnuPG failed (exit code ${exitCode}): ${words.trim()}`);
}

/** `Name <mail>` or `Name (telephone)`; on one line, without what gives a user id its form. */
function userIdOf({ name, contact }: NewKey): string {
  const plain = (text: string) => text.replace(/[\p{C}<>()]+/gu, ' ').trim();
  const isMail = /^[^\s@]+@[^\s@]+$/.test(contact);
  return isMail ? `${plain(name)} <${plain(contact)}>` : `${plain(name)} (${plain(contact)})`;
}

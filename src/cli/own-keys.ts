/** Private keys that a command line names, and `--passphrase-file` for those that are under a passphrase. */
import type { KeyObject } from 'node:crypto';
import { Option } from 'commander';
import { readPassphrase } from '../trust/key-encryption.js';
import { type KeyPurpose, readPrivateKey } from '../trust/key-files.js';
import { warnExposedKey } from './output.js';

export interface PassphraseOption {
  readonly passphraseFile?: string;
}

export function passphraseOption(about = 'holds the passphrase that our key is under'): Option {
  return new Option('--passphrase-file <file>', about);
}

/** @throws KEY_LOCKED when the file cannot be read, or holds none */
export async function passphraseOf({ passphraseFile }: PassphraseOption): Promise<Buffer | undefined> {
  return passphraseFile === undefined ? undefined : readPassphrase(passphraseFile, '--passphrase-file');
}

/** @throws KEY_UNREADABLE, KEY_LOCKED */
export async function readOwnKey(
  path: string,
  purpose: KeyPurpose,
  options: PassphraseOption,
): Promise<KeyObject> {
  return readPrivateKey(path, purpose, warnExposedKey, await passphraseOf(options));
}

/** @throws KEY_UNREADABLE, KEY_LOCKED */
export async function readOwnKeys(
  paths: readonly string[],
  purpose: KeyPurpose,
  options: PassphraseOption,
): Promise<readonly KeyObject[]> {
  return Promise.all(paths.map((path) => readOwnKey(path, purpose, options)));
}

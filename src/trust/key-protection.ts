/**
 * Puts the private keys that are there under the passphrase, or takes them out of it, file by file. Each file is replaced
 * by one step, and everything else reads it in either form, so that whoever is interrupted, or runs meanwhile, meets
 * nothing but keys that work; to be finished it is run again. What was in the clear before may still be found on the bare
 * disk: where that matters, new keys do.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { isEncryptedKey } from './key-encryption.js';
import { type KeyPurpose, privateKeyText, readPrivateKey } from './key-files.js';
import {
  generationPath,
  type KeyRing,
  needsPrivateHalf,
  newestRevision,
  presentOf,
  presentPath,
  readRing,
} from './key-ring.js';
import { KEY_PURPOSES, type KeyDisk } from './key-store.js';
import { parseTlsFile, TLS_FILE, tlsFileText } from './key-tls.js';

export interface Protection {
  /** Under which the keys shall be; undefined: in the clear. */
  readonly to: Buffer | undefined;
  /** Under which some of them may still be. */
  readonly from: Buffer | undefined;
}

/** A file with a private key in it. */
interface Holder {
  readonly path: string;
  read(passphrase: Buffer | undefined): Promise<KeyObject>;
  /** What the file is to hold. */
  format(key: KeyObject, passphrase: Buffer | undefined): Promise<string>;
}

/**
 * @param folder the keys folder
 * @returns paths of the files that were changed
 * @throws KEY_LOCKED when neither passphrase opens a file, before any is changed; KEY_UNREADABLE
 */
export async function protectKeys(
  folder: string,
  { to, from }: Protection,
  disk: KeyDisk,
  nowMs: number,
): Promise<readonly string[]> {
  const passphrases = [to, from].filter((each) => each !== undefined);
  const due: { readonly holder: Holder; readonly key: KeyObject }[] = [];
  for (const holder of await holders(folder, nowMs)) {
    if (isEncryptedKey(await readFile(holder.path, 'utf8')) ? !(await opens(holder, to)) : to !== undefined) {
      due.push({ holder, key: await openBy(holder, passphrases) });
    }
  }
  for (const { holder, key } of due) await disk.replace(holder.path, await holder.format(key, to), 0o600);
  return due.map(({ holder }) => holder.path);
}

/** Generations first: the copies of the present keys follow them. */
async function holders(folder: string, nowMs: number): Promise<readonly Holder[]> {
  const revision = await newestRevision(folder);
  const ring = revision === 0 ? undefined : await readRing(folder, revision);
  return [
    ...(ring?.generations ?? [])
      .filter((each) => needsPrivateHalf(each, nowMs))
      .map(({ kid, purpose }) => rawHolder(generationPath(folder, kid), purpose)),
    ...KEY_PURPOSES.map((purpose) => ({
      ...rawHolder(presentPath(folder, purpose), purpose),
      ...(ring === undefined ? {} : { format: () => presentText(folder, ring, purpose) }),
    })),
    tlsHolder(join(folder, TLS_FILE)),
  ];
}

function rawHolder(path: string, purpose: KeyPurpose): Holder {
  return {
    path,
    read: (passphrase) => readPrivateKey(path, purpose, undefined, passphrase),
    format: privateKeyText,
  };
}

function presentText(folder: string, ring: KeyRing, purpose: KeyPurpose): Promise<string> {
  return readFile(generationPath(folder, presentOf(ring, purpose).kid), 'utf8');
}

function tlsHolder(path: string): Holder {
  const identity = async (passphrase: Buffer | undefined) =>
    parseTlsFile(await readFile(path, 'utf8'), passphrase, path);
  let certificate = '';
  return {
    path,
    async read(passphrase) {
      const found = await identity(passphrase);
      certificate = found.certificate;
      return createPrivateKey(found.privateKey);
    },
    format: (key, passphrase) =>
      tlsFileText(
        { certificate, privateKey: key.export({ format: 'pem', type: 'pkcs8' }).toString() },
        passphrase,
      ),
  };
}

async function opens(holder: Holder, passphrase: Buffer | undefined): Promise<boolean> {
  return (await attempt(holder, passphrase)) !== undefined;
}

async function openBy(holder: Holder, passphrases: readonly Buffer[]): Promise<KeyObject> {
  for (const passphrase of passphrases) {
    const key = await attempt(holder, passphrase);
    if (key !== undefined) return key;
  }
  throw new GatewayError(
    'KEY_LOCKED',
    `no passphrase that was given opens ${holder.path}: expected keys.passphraseFile, or the one before it by --old-passphrase-file`,
  );
}

/** Undefined when it is another passphrase. */
async function attempt(holder: Holder, passphrase: Buffer | undefined): Promise<KeyObject | undefined> {
  try {
    return await holder.read(passphrase);
  } catch (error) {
    if (isGatewayError(error) && error.code === 'KEY_LOCKED') return undefined;
    throw error;
  }
}

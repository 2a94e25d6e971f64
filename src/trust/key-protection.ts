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
import { assertOurs, KEY_PURPOSES, type KeyDisk } from './key-store.js';
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
  /** Whose copy it is meant to be. */
  readonly original?: string;
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
  const due: { readonly holder: Holder; readonly key: KeyObject }[] = [];
  for (const holder of await holders(folder, nowMs)) {
    const text = await readFile(holder.path, 'utf8');
    const isCopy = holder.original !== undefined && text === (await readFile(holder.original, 'utf8'));
    const key = isCopy
      ? due.find((each) => each.holder.path === holder.original)?.key
      : await keyToMove(holder, isEncryptedKey(text), { to, from });
    if (key !== undefined) due.push({ holder, key });
  }
  for (const { holder, key } of due) await disk.replace(holder.path, await holder.format(key, to), 0o600);
  return due.map(({ holder }) => holder.path);
}

/** Paths of the files whose private key lies in the clear. */
export async function unprotectedKeys(folder: string, nowMs: number): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { path } of await holders(folder, nowMs)) {
    if (!isEncryptedKey(await readFile(path, 'utf8'))) found.push(path);
  }
  return found;
}

/** Generations first: the copies of the present keys follow them. */
async function holders(folder: string, nowMs: number): Promise<readonly Holder[]> {
  const revision = await newestRevision(folder);
  const ring = revision === 0 ? undefined : await readRing(folder, revision);
  return [
    ...(ring?.generations ?? [])
      .filter((each) => needsPrivateHalf(each, nowMs))
      .map(({ kid, purpose }) => rawHolder(generationPath(folder, kid), purpose)),
    ...KEY_PURPOSES.map((purpose) =>
      ring === undefined
        ? rawHolder(presentPath(folder, purpose), purpose)
        : copyHolder(folder, ring, purpose),
    ),
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

/** The copy of a present key; after a rotation that was cut off it may still be one of an older one. */
function copyHolder(folder: string, ring: KeyRing, purpose: KeyPurpose): Holder {
  const original = generationPath(folder, presentOf(ring, purpose).kid);
  const holder = rawHolder(presentPath(folder, purpose), purpose);
  return {
    ...holder,
    original,
    async read(passphrase) {
      const key = await holder.read(passphrase);
      assertOurs(ring, purpose, key, holder.path);
      return key;
    },
    format: () => readFile(original, 'utf8'),
  };
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

/** Undefined when it is as it shall be. */
async function keyToMove(
  holder: Holder,
  isEncrypted: boolean,
  { to, from }: Protection,
): Promise<KeyObject | undefined> {
  if (!isEncrypted) return to === undefined ? undefined : holder.read(undefined);
  if (to !== undefined && (await attempt(holder, to)) !== undefined) return undefined;
  const key = from === undefined ? undefined : await attempt(holder, from);
  if (key !== undefined) return key;
  throw new GatewayError(
    'KEY_LOCKED',
    `no passphrase that was given opens ${holder.path}: expected keys.passphraseFile, or the one before it by --old-passphrase-file`,
  );
}

/** Undefined when it is another passphrase. */
async function attempt(holder: Holder, passphrase: Buffer): Promise<KeyObject | undefined> {
  try {
    return await holder.read(passphrase);
  } catch (error) {
    if (isGatewayError(error) && error.code === 'KEY_LOCKED') return undefined;
    throw error;
  }
}

/**
 * The keys folder, read and changed. A change makes the new private keys first, each in a file of its own, and then
 * happens by the one step of linking the next revision of the ring; what is left to do after it is done by whoever comes
 * next. So it has happened wholly or not at all, whenever the power fails, and of two at once one is refused.
 *
 *     encryption.key .pub  signing.key .pub    the present ones; copies, once there is a ring
 *     generations/<kid>.key                    every private key that is still needed
 *     generations/<revision>.json              the ring, see key-ring.ts
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../errors/gateway-error.js';
import { jwkThumbprint } from '../jmix/jwk-thumbprint.js';
import { rawPublicKey } from '../jmix/raw-keys.js';
import type { Passphrase } from './key-encryption.js';
import { checkExposure, type KeyPurpose, keyText, privateKeyText, readPrivateKey } from './key-files.js';
import {
  formatRing,
  generationPath,
  generationsFolder,
  type KeyGeneration,
  type KeyRing,
  needsPrivateHalf,
  newestRevision,
  newGeneration,
  presentOf,
  presentPath,
  readRing,
  ringPath,
} from './key-ring.js';

export const KEY_PURPOSES: readonly KeyPurpose[] = ['encryption', 'signing'];

/** Durable writes, as the spool has them. */
export interface KeyDisk {
  /** Writes a file that must not exist yet; false when it exists. */
  create(path: string, text: string, mode: number): Promise<boolean>;
  /** Writes a whole file, in the place of what was there. */
  replace(path: string, text: string, mode: number): Promise<void>;
  makeFolder(path: string): Promise<void>;
}

export interface KeyFolder {
  readonly path: string;
  readonly passphrase: Passphrase;
}

export interface LoadedKeys {
  readonly ring: KeyRing;
  /** By kid: those that are still needed. */
  readonly privateKeys: ReadonlyMap<string, KeyObject>;
}

export interface KeyChange {
  readonly ring: Omit<KeyRing, 'revision'>;
  /** Private keys of its new generations, by kid. */
  readonly made: ReadonlyMap<string, KeyObject>;
}

/** Rounds of "somebody changed it meanwhile" before it is taken for a fault. */
const MAX_ROUNDS = 5;
/** What no ring names is of a change under way, or, after so long, of one that was cut off. */
const ORPHAN_MS = 3_600_000;
/** As durable writes have it (spool/atomic.ts) until they are whole. */
const TEMPORARY_NAME = /^\..+\.tmp$/;
const KEY_NAME = /^([A-Za-z0-9_-]{43})\.key$/;

/**
 * @param known private keys that need not be read again
 * @throws KEY_UNREADABLE, KEY_LOCKED
 */
export async function loadKeys(
  folder: KeyFolder,
  nowMs: number,
  known: ReadonlyMap<string, KeyObject> = new Map(),
): Promise<LoadedKeys> {
  for (let round = 1; ; round++) {
    const revision = await newestRevision(folder.path);
    try {
      return await loadRevision(folder, revision, nowMs, known);
    } catch (error) {
      // A key that was retired while we read is missing rightly.
      if (round === MAX_ROUNDS || (await newestRevision(folder.path)) === revision) throw error;
    }
  }
}

async function loadRevision(
  folder: KeyFolder,
  revision: number,
  nowMs: number,
  known: ReadonlyMap<string, KeyObject>,
): Promise<LoadedKeys> {
  const passphrase = await folder.passphrase();
  const privateKeys = new Map<string, KeyObject>();
  if (revision === 0) {
    const generations: KeyGeneration[] = [];
    for (const purpose of KEY_PURPOSES) {
      const path = presentPath(folder.path, purpose);
      const key = await readPrivateKey(path, purpose, undefined, passphrase);
      const generation = newGeneration(purpose, key, (await stat(path)).mtimeMs);
      privateKeys.set(generation.kid, key);
      generations.push(generation);
    }
    return { ring: { version: 1, revision, generations, announcements: [] }, privateKeys };
  }
  // The copies are not read for their keys, but are as good for whoever steals them.
  for (const purpose of KEY_PURPOSES) {
    const path = presentPath(folder.path, purpose);
    if (await exists(path)) await checkExposure(path);
  }
  const ring = await readRing(folder.path, revision);
  for (const generation of ring.generations.filter((each) => needsPrivateHalf(each, nowMs))) {
    const { kid, purpose } = generation;
    const path = generationPath(folder.path, kid);
    const key = known.get(kid) ?? (await readPrivateKey(path, purpose, undefined, passphrase));
    if (jwkThumbprint(key) !== kid) {
      throw new GatewayError('KEY_UNREADABLE', `${path} holds another key than its name says`);
    }
    privateKeys.set(kid, key);
  }
  return { ring, privateKeys };
}

/**
 * Changes the keys; nothing has changed when it throws, unless it is the disk that fails after the change.
 * @param plan what to change; undefined: nothing
 * @throws STATE_INVALID when somebody else changed them meanwhile; KEY_UNREADABLE, KEY_LOCKED; what `plan` throws
 */
export async function changeKeys(
  folder: KeyFolder,
  disk: KeyDisk,
  nowMs: number,
  plan: (loaded: LoadedKeys) => KeyChange | undefined,
): Promise<KeyRing> {
  const loaded = await loadKeys(folder, nowMs);
  const change = plan(loaded);
  if (change === undefined) {
    await settleKeys(folder, disk, nowMs);
    return loaded.ring;
  }
  const passphrase = await folder.passphrase();
  const next: KeyRing = { ...change.ring, revision: loaded.ring.revision + 1 };
  await disk.makeFolder(generationsFolder(folder.path));
  for (const { kid } of next.generations.filter((each) => needsPrivateHalf(each, nowMs))) {
    const key = change.made.get(kid) ?? loaded.privateKeys.get(kid);
    const path = generationPath(folder.path, kid);
    // All but the first change find the older ones there.
    if (key !== undefined && !(await exists(path))) {
      await disk.create(path, await privateKeyText(key, passphrase), 0o600);
    }
  }
  if (!(await disk.create(ringPath(folder.path, next.revision), formatRing(next), 0o600))) {
    for (const kid of change.made.keys()) await rm(generationPath(folder.path, kid), { force: true });
    throw new GatewayError(
      'STATE_INVALID',
      'the keys have just been changed by somebody else; look at them again',
    );
  }
  await settleKeys(folder, disk, nowMs);
  return next;
}

/**
 * Finishes what a change has left: the copies of the present keys, and private halves that nobody needs. May be called at
 * any time, and by several at once: what it does follows from the ring alone.
 * @throws KEY_UNREADABLE when a copy was replaced by a key that is not ours; KEY_LOCKED
 */
export async function settleKeys(folder: KeyFolder, disk: KeyDisk, nowMs: number): Promise<void> {
  await removeHalfWritten(folder.path);
  const revision = await newestRevision(folder.path);
  if (revision === 0) return;
  const ring = await readRing(folder.path, revision);
  try {
    for (const purpose of KEY_PURPOSES) await settlePresent(folder, disk, ring, purpose);
  } catch (error) {
    // What is not ours by this ring may be by the next one, which somebody has just written.
    if ((await newestRevision(folder.path)) === revision) throw error;
    return settleKeys(folder, disk, nowMs);
  }
  const place = generationsFolder(folder.path);
  await removeHalfWritten(place);
  for (const name of await readdir(place)) {
    const kid = KEY_NAME.exec(name)?.[1];
    if (kid === undefined) continue;
    const path = join(place, name);
    const generation = ring.generations.find((each) => each.kid === kid);
    const isWanted = generation === undefined ? !(await isOld(path)) : needsPrivateHalf(generation, nowMs);
    if (!isWanted) await rm(path, { force: true });
  }
}

/** What a power cut has left under a temporary name may be a private key. */
async function removeHalfWritten(place: string): Promise<void> {
  for (const name of await readdir(place)) {
    const path = join(place, name);
    if (TEMPORARY_NAME.test(name) && (await isOld(path))) await rm(path, { force: true });
  }
}

async function settlePresent(
  folder: KeyFolder,
  disk: KeyDisk,
  ring: KeyRing,
  purpose: KeyPurpose,
): Promise<void> {
  const present = presentOf(ring, purpose);
  const path = presentPath(folder.path, purpose);
  const original = generationPath(folder.path, present.kid);
  const [text, copy] = await Promise.all(
    [original, path].map((each) => readFile(each, 'utf8').catch(() => undefined)),
  );
  if (copy !== text && copy !== undefined) {
    const key = await readPrivateKey(path, purpose, undefined, await folder.passphrase());
    assertOurs(ring, purpose, key, path);
    if (text === undefined && jwkThumbprint(key) === present.kid) await disk.create(original, copy, 0o600);
  }
  if (copy !== text && text !== undefined) await disk.replace(path, text, 0o600);
  const publicPath = join(folder.path, `${purpose}.pub`);
  const publicText = `${present.key}\n`;
  if ((await readFile(publicPath, 'utf8').catch(() => undefined)) !== publicText) {
    await disk.replace(publicPath, publicText, 0o644);
  }
}

/**
 * Whoever puts a key there by hand means something by it, and would lose it.
 * @throws KEY_UNREADABLE when the key of this file is in no generation
 */
export function assertOurs(ring: KeyRing, purpose: KeyPurpose, key: KeyObject, path: string): void {
  const kid = jwkThumbprint(key);
  if (ring.generations.some((each) => each.kid === kid)) return;
  throw new GatewayError(
    'KEY_UNREADABLE',
    `${path} holds a key that is none of ours (${kid}): the present one is ${presentOf(ring, purpose).kid}; move the file away, and the right one is put there again`,
  );
}

/** The file that the present key of a purpose has before there is a ring, where it is missing. @returns paths made */
export async function makePresent(
  folder: KeyFolder,
  disk: KeyDisk,
  purpose: KeyPurpose,
  make: () => KeyObject,
): Promise<readonly string[]> {
  const passphrase = await folder.passphrase();
  const path = presentPath(folder.path, purpose);
  const made: string[] = [];
  if (!(await exists(path)) && (await disk.create(path, await privateKeyText(make(), passphrase), 0o600))) {
    made.push(path);
  }
  const publicPath = join(folder.path, `${purpose}.pub`);
  if (!(await exists(publicPath))) {
    const publicKey = createPublicKey(await readPrivateKey(path, purpose, undefined, passphrase));
    if (await disk.create(publicPath, keyText(rawPublicKey(publicKey)), 0o644)) made.push(publicPath);
  }
  return made;
}

async function isOld(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > ORPHAN_MS;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

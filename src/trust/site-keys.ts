/**
 * The site's own keys: X25519 to open what is sealed to us, Ed25519 to sign, and a TLS identity. Made at the first run,
 * read at every other; changed by `drawbridge keys` alone, which running processes notice by themselves.
 */
import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '../config/settings.js';
import { type Clock, systemClock } from '../domain/clock.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import { makeCertificate, type TlsIdentity } from './certificate.js';
import { passphraseFrom } from './key-encryption.js';
import { generatePrivateKey, type KeyPurpose } from './key-files.js';
import {
  announcementsAt,
  generationsFolder,
  type KeyGeneration,
  newestRevision,
  presentOf,
  stateAt,
} from './key-ring.js';
import {
  KEY_PURPOSES,
  type KeyDisk,
  type LoadedKeys,
  loadKeys,
  makePresent,
  settleKeys,
} from './key-store.js';
import { readTlsIdentity, TLS_FILE, tlsFileText } from './key-tls.js';

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** The keys as they are at this moment: a rotation replaces them while the bridge runs, so nobody keeps copies. */
export interface SiteKeys {
  /** The present generation: what partners seal to. */
  readonly encryption: KeyPair;
  /** Every private encryption key that is still honoured, the present one first. */
  readonly decryption: readonly KeyObject[];
  /** Private encryption keys that are revoked: nothing is opened with them, but what is sealed to them can be told. */
  readonly revoked: readonly KeyObject[];
  /** The present generation: what we sign with. */
  readonly signing: KeyPair;
  /** Statements for partners: new keys, each signed by the one before, and revocations. Compact JWS, oldest first. */
  readonly announcements: readonly string[];
  readonly tls: TlsIdentity;
  /**
   * Looks whether they have changed on the disk; one stat where nothing did.
   * @throws KEY_UNREADABLE, KEY_LOCKED, unless somebody is to be told of it instead
   */
  refresh(): Promise<void>;
}

/** Writes a file that must not exist yet, durably; false when it exists. */
export type CreateFile = (path: string, text: string, mode: number) => Promise<boolean>;

const TOKEN_FILE = 'api.token';
/** A folder that changed so shortly before may change again within the same tick of the file system's clock. */
const TICK_MS = 100;
const NEVER = -1;
/** To try a passphrase costs a quarter of a second, and everybody may ask for our keys. */
const QUIET_MS = 30_000;
/** What is told in one document or envelope; a site that rotates each month has fewer within a year. */
const MAX_ANNOUNCEMENTS = 32;

/**
 * Makes whatever key the folder lacks, under the passphrase if there is one, and finishes what a change of the keys has
 * left. May be called again at any time.
 * @returns paths of the files made
 * @throws KEY_UNREADABLE, KEY_LOCKED
 */
export async function ensureSiteKeys(
  folder: string,
  { site, keys }: Pick<Settings, 'site' | 'keys'>,
  disk: KeyDisk,
  nowMs: number,
): Promise<readonly string[]> {
  const keyFolder = { path: folder, passphrase: passphraseFrom(keys) };
  const made: string[] = [];
  const create = async (name: string, text: string, mode: number) => {
    const path = join(folder, name);
    const created = await disk.create(path, text, mode);
    if (created) made.push(path);
    return created;
  };
  await settleKeys(keyFolder, disk, nowMs);
  if ((await newestRevision(folder)) === 0) {
    for (const purpose of KEY_PURPOSES) {
      made.push(...(await makePresent(keyFolder, disk, purpose, () => generatePrivateKey(purpose))));
    }
  }
  if (await isMissing(join(folder, TLS_FILE))) {
    const hosts = [hostname(), 'localhost', '127.0.0.1'];
    const identity = await makeCertificate(`${site.name} (${site.id})`, hosts, nowMs);
    const text = await tlsFileText(identity, await keyFolder.passphrase());
    if (await create(TLS_FILE, text, 0o600)) await create('tls.crt', identity.certificate, 0o644);
  }
  await create(TOKEN_FILE, `${randomBytes(32).toString('base64url')}\n`, 0o600);
  return made;
}

export interface SiteKeysOptions {
  /** By which the time of an old key runs out; default: the system's. */
  readonly clock?: Clock;
  /** Told when changed keys cannot be read. Those that were read before stay in use: what is on its way goes on. */
  readonly unreadable?: (error: GatewayError) => void;
}

/**
 * Reads the site's keys; the certificate of the config takes the place of our own.
 * @throws KEY_UNREADABLE, KEY_LOCKED
 */
export async function readSiteKeys(
  folder: string,
  { https, keys }: Pick<Settings, 'https' | 'keys'>,
  { clock = systemClock, unreadable }: SiteKeysOptions = {},
): Promise<SiteKeys> {
  const keyFolder = { path: folder, passphrase: passphraseFrom(keys) };
  const tls = await readTlsIdentity(folder, https, await keyFolder.passphrase());
  let seenMs = NEVER;
  let quietUntilMs = 0;
  let { ring, privateKeys } = await loadKeys(keyFolder, clock.now());

  const reload = async () => {
    if (Date.now() < quietUntilMs) return;
    const changedMs = await changedAtMs(folder);
    if (changedMs === seenMs) return;
    const nowMs = Date.now();
    if ((await newestRevision(folder)) !== ring.revision) {
      ({ ring, privateKeys } = await loadKeys(keyFolder, clock.now(), privateKeys));
    }
    seenMs = nowMs - changedMs > TICK_MS ? changedMs : NEVER;
  };
  let loading: Promise<void> = Promise.resolve();

  const inState = (state: KeyGeneration['state']) =>
    ring.generations
      .filter((each) => each.purpose === 'encryption' && stateAt(each, clock.now()) === state)
      .flatMap(({ kid }) => privateKeys.get(kid) ?? []);
  return {
    get encryption() {
      return presentPair({ ring, privateKeys }, 'encryption');
    },
    get decryption() {
      return [...inState('present'), ...inState('honoured').reverse()];
    },
    get revoked() {
      return inState('revoked');
    },
    get signing() {
      return presentPair({ ring, privateKeys }, 'signing');
    },
    get announcements() {
      return announcementsAt(ring, clock.now()).slice(-MAX_ANNOUNCEMENTS);
    },
    tls,
    async refresh() {
      // One after the other, so that what was read earlier never takes the place of what was read later.
      loading = loading.catch(() => undefined).then(reload);
      try {
        await loading;
      } catch (error) {
        quietUntilMs = Date.now() + QUIET_MS;
        if (unreadable === undefined) throw error;
        unreadable(toGatewayError(error));
      }
    },
  };
}

/** The token that scripts of this machine use towards the dashboard's API. @throws KEY_UNREADABLE */
export async function readApiToken(folder: string): Promise<string> {
  const path = join(folder, TOKEN_FILE);
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    throw new GatewayError('KEY_UNREADABLE', `the key file cannot be read: ${path}`, { cause });
  }
}

function presentPair({ ring, privateKeys }: LoadedKeys, purpose: KeyPurpose): KeyPair {
  const { kid } = presentOf(ring, purpose);
  const privateKey = privateKeys.get(kid);
  if (privateKey === undefined) throw new GatewayError('FAULT', `the present key ${kid} was not read`);
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

/** When a file was last made or removed beside the ring; 0 while there is no ring. */
async function changedAtMs(folder: string): Promise<number> {
  try {
    return (await stat(generationsFolder(folder))).mtimeMs;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 0;
    throw error;
  }
}

async function isMissing(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) === undefined;
}

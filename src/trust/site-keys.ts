/**
 * The site's own keys, made at the first run and read at every other: X25519 to open what is sealed to us, Ed25519 to
 * sign, and a TLS identity. A key that exists is never replaced here.
 */
import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '../config/settings.js';
import { GatewayError } from '../errors/gateway-error.js';
import { rawPrivateKey, rawPublicKey } from '../jmix/raw-keys.js';
import { makeCertificate, type TlsIdentity } from './certificate.js';
import { generatePrivateKey, type KeyPurpose, keyText, readPrivateKey } from './key-files.js';

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
  /** The present generation: what we sign with. */
  readonly signing: KeyPair;
  /** Statements for partners: new keys, each signed by the one before, and revocations. Compact JWS. */
  readonly announcements: readonly string[];
  readonly tls: TlsIdentity;
  /** Looks whether they have changed on the disk. @throws KEY_UNREADABLE, KEY_LOCKED */
  refresh(): Promise<void>;
}

/** Writes a file that must not exist yet, durably; false when it exists. */
export type CreateFile = (path: string, text: string, mode: number) => Promise<boolean>;

const PURPOSES: readonly KeyPurpose[] = ['encryption', 'signing'];
const TOKEN_FILE = 'api.token';

/**
 * Makes whatever key the folder lacks. May be called again at any time.
 * @returns paths of the files made
 */
export async function ensureSiteKeys(
  folder: string,
  site: Settings['site'],
  createFile: CreateFile,
  nowMs: number,
): Promise<readonly string[]> {
  const made: string[] = [];
  const create = async (path: string, text: string, mode: number) => {
    const created = await createFile(path, text, mode);
    if (created) made.push(path);
    return created;
  };
  for (const purpose of PURPOSES) {
    const privatePath = join(folder, `${purpose}.key`);
    await create(privatePath, keyText(rawPrivateKey(generatePrivateKey(purpose))), 0o600);
    const publicKey = createPublicKey(await readPrivateKey(privatePath, purpose));
    await create(join(folder, `${purpose}.pub`), keyText(rawPublicKey(publicKey)), 0o644);
  }
  const identity = await makeCertificate(
    `${site.name} (${site.id})`,
    [hostname(), 'localhost', '127.0.0.1'],
    nowMs,
  );
  if (await create(join(folder, 'tls.key'), identity.privateKey + identity.certificate, 0o600)) {
    await create(join(folder, 'tls.crt'), identity.certificate, 0o644);
  }
  await create(join(folder, TOKEN_FILE), `${randomBytes(32).toString('base64url')}\n`, 0o600);
  return made;
}

/**
 * Reads the site's keys; the certificate of the config takes the place of our own.
 * @throws KEY_UNREADABLE
 */
export async function readSiteKeys(folder: string, https: Settings['https']): Promise<SiteKeys> {
  const [encryption, signing] = await Promise.all(PURPOSES.map((purpose) => readPair(folder, purpose)));
  if (encryption === undefined || signing === undefined)
    throw new GatewayError('FAULT', 'a key purpose is missing');
  return {
    encryption,
    decryption: [encryption.privateKey],
    signing,
    announcements: [],
    tls: await readTlsIdentity(folder, https),
    refresh: async () => undefined,
  };
}

/** The token that scripts of this machine use towards the dashboard's API. @throws KEY_UNREADABLE */
export async function readApiToken(folder: string): Promise<string> {
  return (await readText(join(folder, TOKEN_FILE))).trim();
}

async function readPair(folder: string, purpose: KeyPurpose): Promise<KeyPair> {
  const privateKey = await readPrivateKey(join(folder, `${purpose}.key`), purpose);
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

async function readTlsIdentity(folder: string, https: Settings['https']): Promise<TlsIdentity> {
  if (https.certFile !== undefined && https.keyFile !== undefined) {
    return { certificate: await readText(https.certFile), privateKey: await readText(https.keyFile) };
  }
  // One file holds both, so that they can never be of two different births.
  const both = await readText(join(folder, 'tls.key'));
  const at = both.indexOf('-----BEGIN CERTIFICATE-----');
  if (at < 0)
    throw new GatewayError(
      'KEY_UNREADABLE',
      `expected a key and a certificate in ${join(folder, 'tls.key')}`,
    );
  return { privateKey: both.slice(0, at), certificate: both.slice(at) };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new GatewayError('KEY_UNREADABLE', `the key file cannot be read: ${path}`, { cause });
  }
}

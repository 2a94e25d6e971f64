/**
 * The private key of our TLS certificate as a file: our own, `tls.key`, holds key and certificate, so that they can never
 * be of two different births; or the two that the config names. Either key may be under our passphrase.
 */
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '../config/settings.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { TlsIdentity } from './certificate.js';
import { decryptPrivateKey, encryptPrivateKey, isEncryptedKey } from './key-encryption.js';
import { checkExposure } from './key-files.js';

export const TLS_FILE = 'tls.key';
const CERTIFICATE_START = '-----BEGIN CERTIFICATE-----';

/** @returns the private key, under the passphrase if there is one, and the certificate; PEM */
export async function tlsFileText(identity: TlsIdentity, passphrase: Buffer | undefined): Promise<string> {
  if (passphrase === undefined) return identity.privateKey + identity.certificate;
  const key = createPrivateKey(identity.privateKey);
  return (await encryptPrivateKey(key, passphrase)) + identity.certificate;
}

/** The text of our own file. @param path for the message @throws KEY_UNREADABLE, KEY_LOCKED */
export function parseTlsFile(text: string, passphrase: Buffer | undefined, path: string): TlsIdentity {
  const at = text.indexOf(CERTIFICATE_START);
  if (at < 0) throw new GatewayError('KEY_UNREADABLE', `expected a key and a certificate in ${path}`);
  return { privateKey: unlocked(text.slice(0, at), passphrase, path), certificate: text.slice(at) };
}

/** @throws KEY_UNREADABLE, KEY_LOCKED */
export async function readTlsIdentity(
  folder: string,
  { certFile, keyFile }: Pick<Settings['https'], 'certFile' | 'keyFile'>,
  passphrase: Buffer | undefined,
): Promise<TlsIdentity> {
  if (certFile !== undefined && keyFile !== undefined) {
    return {
      certificate: await readText(certFile),
      privateKey: unlocked(await readText(keyFile), passphrase, keyFile),
    };
  }
  const path = join(folder, TLS_FILE);
  await checkExposure(path);
  return parseTlsFile(await readText(path), passphrase, path);
}

/** PEM without a passphrase, which is kept in memory alone. */
function unlocked(pem: string, passphrase: Buffer | undefined, path: string): string {
  if (!isEncryptedKey(pem)) return pem;
  return decryptPrivateKey(pem, passphrase, path).export({ format: 'pem', type: 'pkcs8' }).toString();
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new GatewayError('KEY_UNREADABLE', `the key file cannot be read: ${path}`, { cause });
  }
}

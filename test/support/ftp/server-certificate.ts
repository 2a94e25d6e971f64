/** The certificate of a server: by a CA made for it, or by itself; for any name, and out of date if wanted. */
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProcess } from '../processes.js';
import { tool } from '../tools.js';

export interface CertificateOptions {
  /** Common name and alternative name; default localhost. The loopback's addresses stand in it only then. */
  readonly name?: string;
  /** True: it ended yesterday. */
  readonly expired?: boolean;
  /** True: nobody has signed it but itself. */
  readonly selfSigned?: boolean;
}

export interface ServerCertificate {
  /** PEM */
  readonly certificate: string;
  /** SHA-256, 64 lower hex digits, no colons. */
  readonly fingerprint: string;
  /** PEM file of the CA that signed it; of the certificate itself when nobody did. */
  readonly caFile: string;
  /** PEM: the certificate, then the CA's. */
  readonly certificateFile: string;
  /** PEM */
  readonly keyFile: string;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Makes it with openssl, in a folder that is there. @throws Error when openssl refuses */
export async function makeServerCertificate(
  folder: string,
  options: CertificateOptions = {},
): Promise<ServerCertificate> {
  const path = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => runOpenssl(folder, args);
  const name = options.name ?? 'localhost';
  const addresses = options.name === undefined ? ',IP:127.0.0.1,IP:127.0.0.2' : '';
  await writeFile(path('server.ext'), `subjectAltName=DNS:${name}${addresses}\n`);
  const request = ['-subj', `/CN=${name}`, '-keyout', 'server.key', '-out', 'server.csr'];
  const ca = ['-subj', '/CN=test CA', '-days', '2', '-keyout', 'ca.key', '-out', 'ca.pem'];
  await Promise.all([
    openssl('req', '-new', ...NEW_KEY, ...request),
    ...(options.selfSigned ? [] : [openssl('req', '-x509', ...NEW_KEY, ...ca)]),
  ]);
  const signer = options.selfSigned
    ? ['-signkey', 'server.key']
    : ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
  const days = options.expired ? '-1' : '2';
  const files = ['-in', 'server.csr', '-out', 'server.pem', '-extfile', 'server.ext'];
  await openssl('x509', '-req', ...files, '-days', days, ...signer);
  const certificate = await readFile(path('server.pem'), 'utf8');
  const caFile = path(options.selfSigned ? 'server.pem' : 'ca.pem');
  const chain = options.selfSigned ? certificate : certificate + (await readFile(caFile, 'utf8'));
  await writeFile(path('chain.pem'), chain);
  return {
    certificate,
    fingerprint: new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase(),
    caFile,
    certificateFile: path('chain.pem'),
    keyFile: path('server.key'),
  };
}

/** As crypt(3) keeps a password: SHA-512. */
export async function hashPassword(folder: string, password: string): Promise<string> {
  return (await runOpenssl(folder, ['passwd', '-6', password])).trim();
}

async function runOpenssl(folder: string, args: readonly string[]): Promise<string> {
  const { code, output } = await runProcess({ command: tool('openssl'), args, folder });
  if (code !== 0) throw new Error(`openssl ended with ${code}\n${output}`);
  return output;
}

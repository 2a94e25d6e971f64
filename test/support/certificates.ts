/** Self-signed certificates made by openssl, as bridges have them: one for each name, with its fingerprint. */
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProcess } from './processes.js';
import { tool } from './tools.js';

export interface TestCertificate {
  /** PEM */
  readonly certificate: string;
  /** PEM */
  readonly privateKey: string;
  /** SHA-256, 64 lower hex digits, no colons. */
  readonly fingerprint: string;
}

/** @throws Error when openssl refuses */
export async function makeCertificate(name: string): Promise<TestCertificate> {
  const folder = await mkdtemp(join(tmpdir(), 'drawbridge-certificate-'));
  try {
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const { code, output } = await runProcess({
      command: tool('openssl'),
      args: ['req', '-x509', ...key, ...subject, '-keyout', 'key.pem', '-out', 'certificate.pem'],
      folder,
    });
    if (code !== 0) throw new Error(`openssl ended with ${code}\n${output}`);
    const certificate = await readFile(join(folder, 'certificate.pem'), 'utf8');
    return {
      certificate,
      privateKey: await readFile(join(folder, 'key.pem'), 'utf8'),
      fingerprint: new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase(),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

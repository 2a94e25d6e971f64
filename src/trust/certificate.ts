/**
 * The bridge's own TLS certificate: self-signed, P-256, ten years. Partners pin its fingerprint, so nothing is gained
 * by a shorter life; where a CA is in use, `https.certFile` replaces it.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const VALID_YEARS = 10;
/** Clocks of partners may be behind ours. */
const BACKDATE_MS = 24 * 3600 * 1000;

export interface TlsIdentity {
  /** PEM */
  readonly certificate: string;
  /** PEM, PKCS #8 */
  readonly privateKey: string;
}

/**
 * Makes a key and a certificate for it.
 * @param commonName shown to people; the fingerprint is what counts
 * @param hosts DNS names and addresses of the subject alternative name
 */
export async function makeCertificate(
  commonName: string,
  hosts: readonly string[],
  nowMs: number,
): Promise<TlsIdentity> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const names: JsonGeneralNames = hosts.map((host) => ({
    type: isIP(host) === 0 ? 'dns' : 'ip',
    value: host,
  }));
  const notAfter = new Date(nowMs);
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + VALID_YEARS);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [commonName] }],
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension(names),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const body = pkcs8.toString('base64').replace(/.{1,64}/g, '$&\n');
  return {
    certificate: `${certificate.toString('pem')}\n`,
    privateKey: `-----BEGIN PRIVATE KEY-----\n${body}-----END PRIVATE KEY-----\n`,
  };
}

/** SHA-256 over the DER of the (first) certificate of a PEM: 64 lower hex digits. */
export function certificateFingerprint(pem: string): string {
  return createHash('sha256').update(new X509Certificate(pem).raw).digest('hex');
}

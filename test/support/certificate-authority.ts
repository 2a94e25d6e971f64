/** A CA of a hospital, made for one test: it signs certificates of any age, for any end, with any key. */
import { randomUUID, type webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509';
import { plainFingerprint } from '../../src/domain/fingerprint.js';
import type { TestCertificate } from './certificates.js';

const DAY_MS = 86_400_000;
const ALGORITHMS = {
  ec: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  rsa: {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    publicExponent: new Uint8Array([1, 0, 1]),
    modulusLength: 2048,
  },
} as const;

export interface CertificateRequest {
  /** Host name or address; also the subject. */
  readonly host?: string;
  /** Default `ec`: P-256. */
  readonly key?: 'ec' | 'rsa';
  /** Days from now; default -1 to 2. */
  readonly validDays?: readonly [from: number, to: number];
  /** Default: both ends. */
  readonly usage?: 'server' | 'client';
}

export interface TestAuthority {
  /** PEM */
  readonly certificate: string;
  issue(request?: CertificateRequest): Promise<TestCertificate>;
  /**
   * Its revocation list.
   * @param validDays from now; default -1 to 2
   */
  revoke(
    revoked: readonly TestCertificate[],
    validDays?: readonly [from: number, to: number],
  ): Promise<{ readonly pem: string; readonly der: Buffer }>;
}

/** Each has a name of its own, as CAs of different hospitals have. */
export async function makeAuthority(): Promise<TestAuthority> {
  const keys = await makeKeys('ec');
  const root = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [`Test CA ${randomUUID()}`] }],
    ...validity([-2, 3]),
    keys,
    signingAlgorithm: ALGORITHMS.ec,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return {
    certificate: root.toString('pem'),
    async issue({ host = 'localhost', key = 'ec', validDays = [-1, 2], usage }: CertificateRequest = {}) {
      const own = await makeKeys(key);
      const { serverAuth, clientAuth } = ExtendedKeyUsage;
      const usages = { server: [serverAuth], client: [clientAuth], both: [serverAuth, clientAuth] };
      const certificate = await X509CertificateGenerator.create({
        subject: [{ CN: [host] }],
        issuer: root.subjectName,
        ...validity(validDays),
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHMS.ec,
        extensions: [
          new BasicConstraintsExtension(false, undefined, true),
          new ExtendedKeyUsageExtension(usages[usage ?? 'both']),
          new SubjectAlternativeNameExtension([{ type: isIP(host) === 0 ? 'dns' : 'ip', value: host }]),
        ],
      });
      return asPem(certificate, own.privateKey);
    },
    async revoke(revoked, validDays = [-1, 2]) {
      const { notBefore, notAfter } = validity(validDays);
      const list = await X509CrlGenerator.create({
        issuer: root.subjectName,
        thisUpdate: notBefore,
        nextUpdate: notAfter,
        entries: revoked.map(({ certificate }) => ({
          serialNumber: new X509Certificate(certificate).serialNumber,
          revocationDate: notBefore,
        })),
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHMS.ec,
      });
      const pem = list.toString('pem').replaceAll(' CRL-', ' X509 CRL-');
      return { pem, der: Buffer.from(list.rawData) };
    },
  };
}

function makeKeys(key: 'ec' | 'rsa'): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHMS[key], true, [
    'sign',
    'verify',
  ]) as Promise<webcrypto.CryptoKeyPair>;
}

function validity([from, to]: readonly [number, number]) {
  return { notBefore: new Date(Date.now() + from * DAY_MS), notAfter: new Date(Date.now() + to * DAY_MS) };
}

async function asPem(certificate: X509Certificate, key: webcrypto.CryptoKey): Promise<TestCertificate> {
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', key));
  return {
    certificate: certificate.toString('pem'),
    privateKey: `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString('base64')}\n-----END PRIVATE KEY-----\n`,
    fingerprint: plainFingerprint(Buffer.from(await certificate.getThumbprint('SHA-256')).toString('hex')),
  };
}

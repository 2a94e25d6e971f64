/**
 * The secure transport connection profiles of DICOM (PS3.15 Annex B) as OpenSSL is told of them. Neither profile goes
 * below TLS 1.2 (B.10, RFC 8996); what is not in the table is neither offered nor taken.
 *
 * `bcp195` is B.10, Non-Downgrading BCP 195, with the suites that B.12 brought in its place (RFC 9325 §4.2, TLS 1.3).
 * `extended` is B.11: its suites and no others, ECDHE from 256 bits on; for TLS 1.3, which B.11 does not know, those
 * with AES of B.13, its successor. The Camellia suites of B.11, of which it asks for none in particular, are unknown to
 * OpenSSL 3. Both ask for what B.13 asks of certificates: RSA from 2048 bits on, no SHA-1.
 */
import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';

export type DicomTlsProfile = 'bcp195' | 'extended';

interface Suite {
  /** As RFC and DICOM call it. */
  readonly name: string;
  readonly openssl: string;
  readonly profiles: readonly DicomTlsProfile[];
}

const BOTH = ['bcp195', 'extended'] as const;

/** By our order of preference: the server's counts. RFC 9325 §4.2 recommends ECDHE; DHE is there for B.10 and B.11. */
const SUITES: readonly Suite[] = [
  // TLS 1.3 (RFC 8446 §B.4): B.12, B.13
  { name: 'TLS_AES_128_GCM_SHA256', openssl: 'TLS_AES_128_GCM_SHA256', profiles: BOTH },
  { name: 'TLS_AES_256_GCM_SHA384', openssl: 'TLS_AES_256_GCM_SHA384', profiles: BOTH },
  { name: 'TLS_CHACHA20_POLY1305_SHA256', openssl: 'TLS_CHACHA20_POLY1305_SHA256', profiles: ['bcp195'] },
  // TLS 1.2: B.11, B.12, B.13
  {
    name: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    openssl: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    profiles: BOTH,
  },
  {
    name: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    openssl: 'ECDHE-ECDSA-AES256-GCM-SHA384',
    profiles: BOTH,
  },
  // TLS 1.2: B.10 to B.13
  { name: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', openssl: 'ECDHE-RSA-AES128-GCM-SHA256', profiles: BOTH },
  { name: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', openssl: 'ECDHE-RSA-AES256-GCM-SHA384', profiles: BOTH },
  // TLS 1.2: B.10, B.11
  { name: 'TLS_DHE_RSA_WITH_AES_128_GCM_SHA256', openssl: 'DHE-RSA-AES128-GCM-SHA256', profiles: BOTH },
  { name: 'TLS_DHE_RSA_WITH_AES_256_GCM_SHA384', openssl: 'DHE-RSA-AES256-GCM-SHA384', profiles: BOTH },
];

/** RFC 9325 §4.4. The field of X25519 has 255 bits, where B.11 asks for 256. */
const GROUPS: Readonly<Record<DicomTlsProfile, string>> = {
  bcp195: 'X25519:P-256:P-384:P-521',
  extended: 'P-256:P-384:P-521',
};

/** B.11: when DHE is used, from 2048 bits on. For our side as a client; as a server OpenSSL chooses 2048 or more. */
export const MIN_DH_BITS = 2048;

/** RSA and DHE from 2048 bits on, ECC from 224 on, no SHA-1 in certificates and signatures. */
const SECURITY_LEVEL = '@SECLEVEL=2';

/** Versions, suites and groups of a profile; certificates are added to them. */
export function profileOptions(profile: DicomTlsProfile): SecureContextOptions {
  const suites = SUITES.filter(({ profiles }) => profiles.includes(profile));
  return {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: [...suites.map(({ openssl }) => openssl), SECURITY_LEVEL].join(':'),
    ecdhCurve: GROUPS[profile],
    dhparam: 'auto',
    honorCipherOrder: true,
    // A ticket would let somebody in again by a certificate that has been changed, or refused, meanwhile.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
  };
}

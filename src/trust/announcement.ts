/**
 * Announcements: what a site states of its own keys when they change, signed with a signing key that its partners know
 * already: the one before the new one, so that each statement is a link of a chain; or, where nothing is new but a
 * revocation, also the revoked key itself, since nobody but its owner and its thief can sign that, and both may. A
 * compact JWS (RFC 7515 §3.1, EdDSA) over JSON. Whether it is believed, and for which peer, the reader decides.
 */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { GatewayError } from '../errors/gateway-error.js';
import { jwkThumbprint } from '../jmix/jwk-thumbprint.js';
import { signCompactJws, verifyCompactJws } from '../jmix/manifest-jws.js';
import { parseStrictObject } from '../jmix/strict-json.js';
import { formatJwk, type PublishedKey, parseJwk } from './jwk.js';

/** `typ` of the JWS, so that nothing else that a site signs can pass for an announcement. */
const ANNOUNCEMENT_TYPE = 'drawbridge-keys+jws';
/** One is a few hundred bytes. */
export const ANNOUNCEMENT_MAX_BYTES = 8 * 1024;
const MAX_KEYS = 8;
/** In one statement. */
export const MAX_REVOKED = 32;

const announcementSchema = z.object({
  version: z.literal(1),
  site: z.string().min(1).max(64),
  issued_at: z.iso.datetime(),
  signing: z.array(z.unknown()).max(MAX_KEYS),
  encryption: z.array(z.unknown()).max(MAX_KEYS),
  revoked: z
    .array(z.string().regex(/^[A-Za-z0-9_-]{43}$/))
    .max(MAX_REVOKED)
    .default([]),
});

/** What a site states of its keys. */
export interface AnnouncedKeys {
  /** Organisation id. */
  readonly site: string;
  readonly issuedAtMs: number;
  /** What it signs with from now on; empty where the statement is a revocation alone. Public keys. */
  readonly signing: readonly KeyObject[];
  /** What is to be sealed to from now on. Public keys. */
  readonly encryption: readonly KeyObject[];
  /** Kids (RFC 7638) of keys, of either purpose, that must not be used any more, whatever they signed. */
  readonly revoked: readonly string[];
}

export interface Announcement extends Omit<AnnouncedKeys, 'signing' | 'encryption'> {
  readonly signing: readonly PublishedKey[];
  readonly encryption: readonly PublishedKey[];
  /** Kid of the key that signed it. */
  readonly signedBy: string;
}

/**
 * @param key the signing key that partners know
 * @returns a compact JWS
 */
export function signAnnouncement(announced: AnnouncedKeys, key: KeyObject): string {
  const { site, issuedAtMs, signing, encryption, revoked } = announced;
  const document = announcementSchema.parse({
    version: 1,
    site,
    // To the millisecond: of two in one second the later one must be known as such.
    issued_at: new Date(issuedAtMs).toISOString(),
    signing: signing.map((each) => formatJwk(each, 'signing')),
    encryption: encryption.map((each) => formatJwk(each, 'encryption')),
    revoked,
  });
  return signCompactJws(Buffer.from(JSON.stringify(document)), key, {
    alg: 'EdDSA',
    typ: ANNOUNCEMENT_TYPE,
    kid: jwkThumbprint(key),
  }).toString('ascii');
}

/**
 * Verifies and reads an announcement. That it is about the peer whose keys these are is for the caller to compare.
 * @param keys signing keys that are known of the peer, public
 * @throws ASSERTION_INVALID when none of them signed it, or it is none, or malformed
 */
export function readAnnouncement(jws: string, keys: readonly KeyObject[]): Announcement {
  if (jws.length > ANNOUNCEMENT_MAX_BYTES) {
    refuse(`is ${jws.length} bytes, at most ${ANNOUNCEMENT_MAX_BYTES} bytes are read`);
  }
  const { header, payload, key } = verifyCompactJws(Buffer.from(jws, 'latin1'), keys);
  if (header['typ'] !== ANNOUNCEMENT_TYPE) refuse(`must be of the type ${ANNOUNCEMENT_TYPE}`);
  const read = announcementSchema.safeParse(
    parseStrictObject(payload, 'the announcement', 'ASSERTION_INVALID'),
  );
  if (!read.success) refuse('is not as version 1 has it');
  const { site, issued_at: issuedAt, revoked } = read.data;
  return {
    site,
    issuedAtMs: Date.parse(issuedAt),
    signing: parseKeys(read.data.signing, 'signing'),
    encryption: parseKeys(read.data.encryption, 'encryption'),
    revoked,
    signedBy: jwkThumbprint(key),
  };
}

/** Unlike a key set, a statement is by our own kind: what is not understood in it makes it worthless. */
function parseKeys(jwks: readonly unknown[], purpose: PublishedKey['purpose']): readonly PublishedKey[] {
  return jwks.map((jwk) => {
    const key = parseJwk(jwk);
    if (key?.purpose !== purpose) refuse(`names something that is no ${purpose} key`);
    return key;
  });
}

function refuse(problem: string): never {
  throw new GatewayError('ASSERTION_INVALID', `an announcement of keys ${problem}`);
}

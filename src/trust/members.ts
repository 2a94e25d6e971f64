/** The sites that a hub serves, and who it is that shows a certificate or a token. */
import { createHash, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { PeerSettings, Settings } from '../config/settings.js';
import type { Member } from '../domain/member.js';
import { readCa } from './config-files.js';
import { parsePublicKey } from './key-files.js';
import type { CertificateFacts } from './peers.js';

export interface KnownMember extends Member {
  /** Ed25519 keys pinned for its signatures; none where its certificate or token has to do. */
  readonly signingKeys: readonly KeyObject[];
  /** Host name in its certificate, where a CA vouches for it. */
  readonly host?: string;
}

/** @throws CONFIG_INVALID when a CA file cannot be read, KEY_UNREADABLE for a bad key */
export async function readMembers(settings: Settings): Promise<ReadonlyMap<string, KnownMember>> {
  const members = await Promise.all(settings.peers.map((peer) => readMember(peer, settings.hub.quotaBytes)));
  return new Map(members.map((member) => [member.id, member]));
}

/** The member that pins this certificate, else one whose CA vouches for it and whose host name it carries. */
export function identifyMember(
  members: ReadonlyMap<string, KnownMember>,
  certificate: CertificateFacts,
): KnownMember | undefined {
  for (const member of members.values()) {
    if (member.certificateFingerprints.includes(certificate.fingerprint)) return member;
  }
  if (!certificate.authorized) return undefined;
  for (const member of members.values()) {
    if (member.certificateAuthority === undefined || member.host === undefined) continue;
    if (certificate.names.includes(member.host)) return member;
  }
  return undefined;
}

/**
 * The member whose token this is. A member that has a certificate pinned is known by that alone: its token opens
 * nothing, so that a token that was overheard cannot take the place of the better proof.
 */
export function identifyToken(
  members: ReadonlyMap<string, KnownMember>,
  token: string,
): KnownMember | undefined {
  const shown = createHash('sha256').update(token).digest();
  let found: KnownMember | undefined;
  // All are compared, whichever it is, so that the time tells nothing.
  for (const member of members.values()) {
    if (member.tokenSha256 === undefined || member.certificateFingerprints.length > 0) continue;
    if (timingSafeEqual(shown, Buffer.from(member.tokenSha256, 'hex'))) found = member;
  }
  return found;
}

async function readMember(settings: PeerSettings, defaultQuotaBytes: number): Promise<KnownMember> {
  const { id, name, url, certificateFingerprints, caFile, tokenSha256, signingKeys } = settings;
  return {
    id,
    name,
    certificateFingerprints,
    ...(caFile === undefined
      ? {}
      : { certificateAuthority: await readCa(`peers: the caFile of ${id}`, caFile) }),
    ...(url === undefined ? {} : { host: new URL(url).hostname }),
    ...(tokenSha256 === undefined ? {} : { tokenSha256 }),
    quotaBytes: settings.quotaBytes ?? defaultQuotaBytes,
    signingKeys: signingKeys.map((key) => parsePublicKey(key, 'signing')),
  };
}

/** Announcements as the book takes them: read, with each key as kid and text. */
import type { KeyObject } from 'node:crypto';
import { rawPublicKey } from '../jmix/raw-keys.js';
import { readAnnouncement } from './announcement.js';
import type { KeyPurpose } from './key-files.js';

export interface Statement {
  readonly site: string;
  readonly issuedAtMs: number;
  /** Kid of the key that signed it. */
  readonly by: string;
  readonly keys: readonly { readonly kid: string; readonly purpose: KeyPurpose; readonly key: string }[];
  /** Kids. */
  readonly revoked: readonly string[];
}

/** @returns undefined when none of `keys` has signed it, or it is none */
export function readStatement(jws: string, keys: readonly KeyObject[]): Statement | undefined {
  try {
    const { site, issuedAtMs, signedBy, signing, encryption, revoked } = readAnnouncement(jws, keys);
    return {
      site,
      issuedAtMs,
      by: signedBy,
      keys: [...signing, ...encryption].map(({ kid, purpose, key }) => ({
        kid,
        purpose,
        key: rawPublicKey(key).toString('base64'),
      })),
      revoked,
    };
  } catch {
    return undefined;
  }
}

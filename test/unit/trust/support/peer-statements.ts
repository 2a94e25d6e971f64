/** Keys of a peer, and what it states of them. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type Settings, settingsSchema } from '../../../../src/config/settings.js';
import { jwkThumbprint } from '../../../../src/jmix/jwk-thumbprint.js';
import { rawPublicKey } from '../../../../src/jmix/raw-keys.js';
import { type AnnouncedKeys, signAnnouncement } from '../../../../src/trust/announcement.js';
import type { LearnContext } from '../../../../src/trust/peer-learn.js';

export const DAY_MS = 24 * 3_600_000;
export const NOW = Date.parse('2026-11-21T12:00:00Z');

export interface TestKey {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly kid: string;
  /** Raw, base64, as a config has it. */
  readonly text: string;
}

export function signingKey(): TestKey {
  return named(generateKeyPairSync('ed25519'));
}

export function encryptionKey(): TestKey {
  return named(generateKeyPairSync('x25519'));
}

function named({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): TestKey {
  return {
    publicKey,
    privateKey,
    kid: jwkThumbprint(publicKey),
    text: rawPublicKey(publicKey).toString('base64'),
  };
}

/** A statement of site-b, signed by `by`. */
export function statement(
  by: TestKey,
  says: {
    readonly signing?: readonly TestKey[];
    readonly encryption?: readonly TestKey[];
    readonly revoked?: readonly TestKey[];
    readonly site?: string;
    readonly atMs?: number;
  },
): string {
  const announced: AnnouncedKeys = {
    site: says.site ?? 'site-b',
    issuedAtMs: says.atMs ?? NOW - DAY_MS,
    signing: (says.signing ?? []).map(({ publicKey }) => publicKey),
    encryption: (says.encryption ?? []).map(({ publicKey }) => publicKey),
    revoked: (says.revoked ?? []).map(({ kid }) => kid),
  };
  return signAnnouncement(announced, by.privateKey);
}

type PeerEntry = Settings['peers'][number];

/** The config's entry for site-b. */
export function peerEntry(more: Partial<PeerEntry> = {}): PeerEntry {
  const [entry] = settingsSchema.shape.peers.parse([{ id: 'site-b', name: 'Hospital B' }]);
  if (entry === undefined) throw new Error('no entry');
  return { ...entry, ...more };
}

export function learnContext(entry: PeerEntry, more: Partial<LearnContext> = {}): LearnContext {
  return {
    entry,
    nowMs: NOW,
    maxAgeMs: 365 * DAY_MS,
    maxFutureMs: 3_600_000,
    foreign: new Set(),
    ...more,
  };
}

/**
 * What was learned of a peer beside the config: `peers/<id>.<revision>.json` in the trust folder. Each revision is a
 * whole, immutable file, linked into place only if nobody else wrote it first; so gateway, workers and commands never
 * overwrite each other's news, and the loser reads again and decides anew. What of it counts is judged elsewhere.
 */
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { GatewayError } from '../errors/gateway-error.js';
import { peerCardSchema, rawKeyText } from './peer-card.js';
import type { CreateFile } from './site-keys.js';

/** Far longer than anybody takes from reading a record to writing it: into a gap, old news would be linked as new. */
const KEEP_MS = 10 * 60_000;
/** Rounds of "somebody was faster" before it is taken for a fault. */
const MAX_ROUNDS = 50;
/** A folder that changed so shortly before may change again within the same tick of the file system's clock. */
const TICK_MS = 100;

const NAME = /^([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.(\d{6,})\.json$/;

const atMs = z.number().min(0);
/** RFC 7638 thumbprint. */
const kid = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
const key = z.object({ kid, purpose: z.enum(['encryption', 'signing']), key: rawKeyText });

const learnedKey = key.extend({
  /** `announced` by a key known before; `tls`: published over verified TLS; `accepted` by a person. */
  source: z.enum(['announced', 'tls', 'accepted']),
  learnedAtMs: atMs,
  /** When the peer says that it began to use it; of others: when it was learned. */
  issuedAtMs: atMs,
  /** The key that announced it. */
  by: kid.optional(),
  /** Encryption: the key that studies were sealed to until then. */
  insteadOf: kid.optional(),
});

const recordSchema = z.looseObject({
  version: z.literal(1),
  id: z.string(),
  revision: z.int().min(0),
  /** What two people compared. */
  paired: z.object({ card: peerCardSchema, atMs, words: z.string() }).optional(),
  keys: z.array(learnedKey).default([]),
  /** Signing keys that have named a successor, and when. */
  superseded: z.array(z.object({ kid, atMs })).default([]),
  /** Keys that count no more, whoever names them; by the key that said so. */
  revoked: z.array(z.object({ kid, atMs, by: kid })).default([]),
  /** The proofs: announcements as they came, oldest first. */
  statements: z.array(z.object({ jws: z.string(), learnedAtMs: atMs })).default([]),
  /** Vouched for by nobody: shown, never used. Published by the peer, or named `by` a key that had spoken its last word. */
  offered: z.array(key.extend({ firstSeenMs: atMs, by: kid.optional() })).default([]),
  /** When its published keys were asked for last, and last came; what went wrong then. */
  published: z
    .object({ askedAtMs: atMs, cameAtMs: atMs.optional(), error: z.string().optional() })
    .optional(),
  /** What the directory said last; the attestation as it came, a compact JWS. */
  directory: z
    .object({
      card: peerCardSchema.partial({ encryptionKey: true, signingKeys: true }),
      attestation: z.string(),
      issuedAtMs: atMs,
      expiresAtMs: atMs,
    })
    .optional(),
});

export type PeerRecord = Readonly<z.infer<typeof recordSchema>>;
export type LearnedKey = PeerRecord['keys'][number];

/** Pure; may be called several times. The very record that it was given means: nothing to write. */
export type PeerChange = (record: PeerRecord) => PeerRecord;

export interface PeerRecords {
  /** Reads again what changed since; one stat where nothing did. @throws KEY_UNREADABLE */
  all(): Promise<ReadonlyMap<string, PeerRecord>>;
  /**
   * Reads, changes and writes as one step.
   * @returns the record as it is then
   * @throws KEY_UNREADABLE, and what `createFile` throws
   */
  update(id: string, change: PeerChange): Promise<PeerRecord>;
}

export function emptyPeerRecord(id: string): PeerRecord {
  return recordSchema.parse({ version: 1, id, revision: 0 });
}

/** @param folder the trust folder */
export function openPeerRecords(folder: string, createFile: CreateFile): PeerRecords {
  const place = join(folder, 'peers');
  let known = new Map<string, PeerRecord>();
  let seenMs = -1;

  /** Undefined when the revision was removed meanwhile: then there is a newer one. */
  const readOnce = async (id: string, revision: number): Promise<PeerRecord | undefined> => {
    const before = known.get(id);
    return before?.revision === revision ? before : readRevision(place, id, revision);
  };

  return {
    async all() {
      const changedMs = await stat(place).then(
        (found) => found.mtimeMs,
        (error: unknown) => absent(error, 0),
      );
      if (changedMs === seenMs) return known;
      const nowMs = Date.now();
      const found = new Map<string, PeerRecord>();
      let isWhole = true;
      for (const [id, [newest = 0]] of await listRevisions(place)) {
        const record = (await readOnce(id, newest)) ?? known.get(id);
        if (record !== undefined) found.set(id, record);
        isWhole &&= record?.revision === newest;
      }
      known = found;
      seenMs = isWhole && nowMs - changedMs > TICK_MS ? changedMs : -1;
      return known;
    },
    async update(id, change) {
      await mkdir(place, { recursive: true, mode: 0o700 });
      for (let round = 0; round < MAX_ROUNDS; round++) {
        const revisions = (await listRevisions(place)).get(id) ?? [];
        const [newest] = revisions;
        const current = newest === undefined ? emptyPeerRecord(id) : await readOnce(id, newest);
        if (current === undefined) continue;
        const next = change(current);
        if (next === current) return current;
        const stored = { ...next, id, revision: current.revision + 1 };
        if (await createFile(pathOf(place, id, stored.revision), `${JSON.stringify(stored)}\n`, 0o600)) {
          await removeOld(place, id, revisions);
          return stored;
        }
      }
      throw new GatewayError('FAULT', `the record of ${id} cannot be written: others keep writing it`);
    },
  };
}

function pathOf(place: string, id: string, revision: number): string {
  return join(place, `${id}.${String(revision).padStart(6, '0')}.json`);
}

/** By id; newest first. */
async function listRevisions(place: string): Promise<ReadonlyMap<string, readonly number[]>> {
  const names = await readdir(place).catch((error: unknown) => absent<string[]>(error, []));
  const found = new Map<string, number[]>();
  for (const name of names) {
    const [, id, digits] = NAME.exec(name) ?? [];
    if (id === undefined) continue;
    const revisions = found.get(id) ?? [];
    revisions.push(Number(digits));
    found.set(id, revisions);
  }
  for (const revisions of found.values()) revisions.sort((a, b) => b - a);
  return found;
}

async function readRevision(place: string, id: string, revision: number): Promise<PeerRecord | undefined> {
  const path = pathOf(place, id, revision);
  const text = await readFile(path, 'utf8').catch((error: unknown) => absent(error, undefined));
  if (text === undefined) return undefined;
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new GatewayError('KEY_UNREADABLE', `the record of a peer cannot be read: ${path}`, { cause });
  }
}

/** @param revisions newest first, without the one just written; the newest of them stays in any case */
async function removeOld(place: string, id: string, revisions: readonly number[]): Promise<void> {
  for (const revision of revisions.slice(1)) {
    const path = pathOf(place, id, revision);
    // Somebody else may be removing it too.
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > KEEP_MS) await rm(path, { force: true });
  }
}

function absent<T>(error: unknown, value: T): T {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return value;
  throw error;
}

/**
 * All peers that this bridge knows: those of the config, and those that were paired, with what was learned of either
 * since. Lives as long as the process and changes in place; what another process has written comes in by `refresh`.
 */
import type { PeerSettings, Settings } from '../config/settings.js';
import type { Clock } from '../domain/clock.js';
import type { Peer } from '../domain/peer.js';
import { isGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { Attestation } from './attestation.js';
import { readCa } from './config-files.js';
import type { KeySet } from './jwks.js';
import { assertPeers } from './peer-check.js';
import { judgeKeys, type KeyRules, type PeerKeys } from './peer-keys.js';
import { type LearnContext, type Learned, learnStatements, type PeerNews } from './peer-learn.js';
import { noteListing } from './peer-listing.js';
import { acceptOffered, learnKeySet } from './peer-published.js';
import { emptyPeerRecord, openPeerRecords, type PeerRecord } from './peer-record.js';
import { entryFor, type KnownPeer, makePeer } from './peers.js';
import type { CreateFile } from './site-keys.js';

const DAY_MS = 24 * 3_600_000;
const MINUTE_MS = 60_000;
/** However many envelopes name a key that we do not know, their sender is asked no more often. */
export const ASK_EVERY_MS = 5 * MINUTE_MS;

export interface PeerBookParts {
  readonly createFile: CreateFile;
  readonly clock: Clock;
  readonly log: Log;
}

export interface PeerBook extends ReadonlyMap<string, Peer> {
  /** Looks whether anything has changed on the disk. What cannot be read is told in the log, and changes nothing. */
  refresh(): Promise<void>;
  /** Config first, then those that are only paired. */
  known(): readonly KnownPeer[];
  /**
   * Statements that something of this peer carries; each is believed only if a key known for this very peer has
   * signed it.
   * @returns false when they bring nothing new
   */
  learn(peerId: string, announcements: readonly string[]): Promise<boolean>;
  /** Whether this peer's published keys may be asked for now; if so, nobody else may for five minutes. */
  claimAsking(peerId: string): Promise<boolean>;
  /** The keys that a peer publishes, over a connection that was verified. @returns false when they bring nothing new */
  learnPublished(peerId: string, published: KeySet): Promise<boolean>;
  /** What the directory said last of a site, us included, as it came; undefined when it was never asked, or had nothing. */
  listed(siteId: string): string | undefined;
  /** The directory's word about a site, verified. An older one than the last changes nothing. */
  noteListed(siteId: string, jws: string, attestation: Attestation): Promise<void>;
  /**
   * A published key counts from now on, since a person has compared its fingerprint.
   * @throws KEY_UNREADABLE when this peer publishes no such key, KEY_REVOKED
   */
  accept(peerId: string, kid: string): Promise<void>;
  /** They could not be had, or made no sense: nothing changes, but it is shown. */
  noteUnpublished(peerId: string, reason: string): Promise<void>;
}

/**
 * @param folder of the records of what was learned
 * @throws CONFIG_INVALID when a peer or a route lacks what neither the config nor a pairing gives, or a CA file cannot
 *   be read; KEY_UNREADABLE for a bad key, or a record that cannot be read
 */
export async function openPeerBook(
  settings: Settings,
  folder: string,
  parts: PeerBookParts,
): Promise<PeerBook> {
  const book = await readPeerBook(settings, folder, parts);
  assertPeers(settings, book.known());
  return book;
}

/** The same, whatever state the peers are in: for those who look, and who mend. @throws as `openPeerBook` */
export async function readPeerBook(
  settings: Settings,
  folder: string,
  { createFile, clock, log }: PeerBookParts,
): Promise<PeerBook> {
  const records = openPeerRecords(folder, createFile);
  const authorities = await readAuthorities(settings);
  const allPacs = settings.pacs.map(({ name }) => name);
  const rules = (): KeyRules => ({ nowMs: clock.now(), maxAgeMs: settings.trust.maxAgeDays * DAY_MS });

  const peers = new Map<string, Peer>();
  let known = new Map<string, KnownPeer>();
  let learned: ReadonlyMap<string, PeerRecord> | undefined;
  const warned = new Set<string>();

  const make = (entry: PeerSettings, isConfigured: boolean, record: PeerRecord): KnownPeer => {
    const keys = judgeKeys(entry, record, rules());
    const before = known.get(entry.id);
    if (before !== undefined && before.record === record && sameKeys(before.keys, keys)) return before;
    const certificateAuthority = authorities.get(entry.id);
    return {
      entry,
      isConfigured,
      record,
      keys,
      peer: makePeer({ entry, record, keys, certificateAuthority, allPacs }),
    };
  };

  /** The very record that was judged before, where it is still the same. */
  const recordOf = (id: string, found: PeerRecord = emptyPeerRecord(id)): PeerRecord => {
    const record = withoutEnded(found, clock.now());
    const before = known.get(id)?.record;
    const isSame =
      before?.revision === record.revision &&
      (before.directory === undefined) === (record.directory === undefined);
    return isSame ? before : record;
  };

  const load = async () => {
    const found = await records.all();
    if (found === learned && !hasLapsed(known, clock.now())) return;
    const next = new Map<string, KnownPeer>();
    for (const entry of settings.peers) {
      next.set(entry.id, make(entry, true, recordOf(entry.id, found.get(entry.id))));
    }
    for (const record of found.values()) {
      const entry = entryFor(record);
      if (entry === undefined || next.has(record.id)) continue;
      next.set(record.id, make(entry, false, recordOf(record.id, record)));
    }
    learned = found;
    known = next;
    for (const id of peers.keys()) if (!next.has(id)) peers.delete(id);
    for (const { peer } of next.values()) peers.set(peer.id, peer);
    warnOfRevoked(next, warned, log);
  };
  await load();

  let told: string | undefined;
  /** What is known stays: a file that went bad while we run must not stop what other peers send. */
  const reload = async () => {
    const reason = await load().then(
      () => undefined,
      (error: unknown) => (isGatewayError(error) ? error.message : String(error)),
    );
    if (reason !== undefined && reason !== told) log.error({ event: 'peers.unreadable', reason });
    told = reason;
  };
  let loading: Promise<void> = Promise.resolve();
  /** One after the other, so that what was read earlier never takes the place of what was read later. */
  const refresh = () => {
    loading = loading.then(reload);
    return loading;
  };

  const update = async (
    peerId: string,
    change: (record: PeerRecord, context: LearnContext) => Learned,
  ): Promise<boolean> => {
    const peer = known.get(peerId);
    if (peer === undefined) return false;
    let news: readonly PeerNews[] = [];
    await records.update(peerId, (record) => {
      const changed = change(record, {
        entry: peer.entry,
        ...rules(),
        maxFutureMs: settings.trust.maxFutureMinutes * MINUTE_MS,
        foreign: foreignTo(peerId, [...known.values()]),
      });
      news = changed.news;
      return changed.record;
    });
    for (const { event, ...facts } of news) {
      log[event === 'peer.key_learned' ? 'info' : 'warn']({ event, peer: peerId, ...facts });
    }
    await refresh();
    return news.some(({ event }) => event !== 'peer.statement_refused');
  };

  return Object.assign(peers, {
    refresh,
    known: () => [...known.values()],
    learn: (peerId: string, announcements: readonly string[]) =>
      announcements.length === 0
        ? Promise.resolve(false)
        : update(peerId, (record, context) => learnStatements(record, announcements, context)),
    async claimAsking(peerId: string) {
      if (!known.has(peerId)) return false;
      let isOurs = false;
      await records.update(peerId, (record) => {
        const nowMs = clock.now();
        const asked = record.published?.askedAtMs;
        isOurs = asked === undefined || Math.abs(nowMs - asked) >= ASK_EVERY_MS;
        if (!isOurs) return record;
        const cameAtMs = record.published?.cameAtMs;
        return {
          ...record,
          published: { askedAtMs: nowMs, ...(cameAtMs === undefined ? {} : { cameAtMs }) },
        };
      });
      await refresh();
      return isOurs;
    },
    learnPublished: (peerId: string, published: KeySet) =>
      update(peerId, (record, context) => learnKeySet(record, published, context)),
    listed: (siteId: string) => learned?.get(siteId)?.directory?.attestation,
    async noteListed(siteId: string, jws: string, attestation: Attestation) {
      const foreign = foreignTo(siteId, [...known.values()]);
      await records.update(siteId, (record) => noteListing(record, jws, attestation, foreign));
      await refresh();
    },
    async accept(peerId: string, kid: string) {
      await update(peerId, (record, context) => ({ record: acceptOffered(record, kid, context), news: [] }));
    },
    async noteUnpublished(peerId: string, reason: string) {
      await records.update(peerId, (record) => ({
        ...record,
        published: { ...(record.published ?? { askedAtMs: clock.now() }), error: reason },
      }));
      await refresh();
    },
  });
}

/** Kids that other peers have, or had. */
export function foreignTo(id: string, known: readonly KnownPeer[]): ReadonlySet<string> {
  const others = known.filter(({ peer }) => peer.id !== id);
  return new Set(others.flatMap(({ keys }) => [...keys.known.keys()]));
}

async function readAuthorities(settings: Settings): Promise<ReadonlyMap<string, string>> {
  const read = settings.peers.flatMap(({ id, caFile }) =>
    caFile === undefined
      ? []
      : [readCa(`peers: the caFile of ${id}`, caFile).then((pem) => [id, pem] as const)],
  );
  return new Map(await Promise.all(read));
}

/** Whether a key, or what the directory said, has reached its end since it was last judged. */
function hasLapsed(known: ReadonlyMap<string, KnownPeer>, nowMs: number): boolean {
  return [...known.values()].some(
    ({ keys, record }) =>
      withoutEnded(record, nowMs) !== record ||
      keys.signing.some(({ untilMs }) => untilMs !== undefined && untilMs <= nowMs),
  );
}

/** What the directory said counts until the day that it names. */
function withoutEnded(record: PeerRecord, nowMs: number): PeerRecord {
  if (record.directory === undefined || nowMs < record.directory.expiresAtMs) return record;
  const { directory: _, ...rest } = record;
  return rest;
}

function sameKeys(before: PeerKeys, after: PeerKeys): boolean {
  return before.signing.length === after.signing.length && before.encryption?.kid === after.encryption?.kid;
}

function warnOfRevoked(known: ReadonlyMap<string, KnownPeer>, warned: Set<string>, log: Log): void {
  for (const { peer, keys } of known.values()) {
    for (const kid of keys.revokedInConfig) {
      if (warned.has(kid)) continue;
      warned.add(kid);
      log.error({ event: 'peer.revoked_key_in_config', peer: peer.id, kid });
    }
  }
}

/**
 * What people decide about a peer beside the config: that it is paired, that a key which it offers is its own, that it is
 * forgotten. Written to its record; bridges that run pick it up by themselves.
 */
import type { Settings } from '../config/settings.js';
import { GatewayError } from '../errors/gateway-error.js';
import { silentLog } from '../observe/log.js';
import { foreignTo, type PeerBookParts, readPeerBook } from './peer-book.js';
import type { PeerCard } from './peer-card.js';
import { kidOf } from './peer-keys.js';
import { emptyPeerRecord, openPeerRecords, type PeerRecord } from './peer-record.js';

/** How a record is written, and by which config it is judged. */
export interface AdoptParts extends Pick<PeerBookParts, 'createFile' | 'clock'> {
  readonly settings: Settings;
}

/**
 * Whether a card may be pinned, as far as that can be said before two people have compared it.
 * @param folder the trust folder
 * @throws PAIRING_FAILED when the card is our own, or the config pins something else for this peer, or a key or a
 *   certificate belongs to another one; KEY_REVOKED when it names a key that this peer has revoked
 */
export async function assertAdoptable(
  folder: string,
  card: PeerCard,
  { settings, createFile, clock }: AdoptParts,
): Promise<void> {
  if (card.id === settings.site.id) throw failed(`${card.id} is this site itself`);
  assertAsConfigured(settings, card);
  const book = await readPeerBook(settings, folder, { createFile, clock, log: silentLog });
  const foreign = foreignTo(card.id, book.known());
  if (kidsOf(card).some((kid) => foreign.has(kid))) {
    throw failed(`the card of ${card.id} names a key of another peer`);
  }
  const twin = book
    .known()
    .find(
      ({ peer }) =>
        peer.id !== card.id && overlaps(peer.certificateFingerprints, card.certificateFingerprints),
    );
  if (twin !== undefined) {
    throw failed(`${card.id} and ${twin.peer.id} share a certificate; it could be either`);
  }
  assertUnrevoked((await openPeerRecords(folder, createFile).all()).get(card.id), card);
}

/**
 * Pins a peer that two people have just paired. What was learned of it before counts no more, except revocations: the
 * word of these two is newer. Bridges that run pick it up by themselves.
 * @param folder the trust folder
 * @throws as `assertAdoptable`
 */
export async function adoptPeer(
  folder: string,
  card: PeerCard,
  pairing: { readonly atMs: number; readonly words: string },
  parts: AdoptParts,
): Promise<void> {
  await assertAdoptable(folder, card, parts);
  await openPeerRecords(folder, parts.createFile).update(card.id, (record) => {
    assertUnrevoked(record, card);
    return { ...forgotten(record), paired: { card, ...pairing } };
  });
}

/**
 * Forgets what was learned of a peer: pairing, keys, the directory's entry. What the config says of it stays, and so does
 * what it has revoked.
 * @returns false when there was nothing
 */
export async function forgetPeer(
  folder: string,
  id: string,
  { createFile }: Pick<AdoptParts, 'createFile'>,
): Promise<boolean> {
  const records = openPeerRecords(folder, createFile);
  if (!(await records.all()).has(id)) return false;
  await records.update(id, forgotten);
  return true;
}

function forgotten({ id, revision, revoked }: PeerRecord): PeerRecord {
  return { ...emptyPeerRecord(id), revision, revoked };
}

/** Pins of the config are never replaced; the same ones may be paired. */
function assertAsConfigured(settings: Settings, card: PeerCard): void {
  const entry = settings.peers.find(({ id }) => id === card.id);
  if (entry === undefined) return;
  const differing = [
    ...(entry.signingKeys.length > 0 && !sameSet(entry.signingKeys, card.signingKeys) ? ['signingKeys'] : []),
    ...(entry.encryptionKey !== undefined && entry.encryptionKey !== card.encryptionKey
      ? ['encryptionKey']
      : []),
    ...(entry.certificateFingerprints.length > 0 &&
    !sameSet(entry.certificateFingerprints, card.certificateFingerprints)
      ? ['certificateFingerprints']
      : []),
    ...(entry.openpgpFingerprints.length > 0 &&
    !sameSet(entry.openpgpFingerprints, card.openpgpFingerprints ?? [])
      ? ['openpgpFingerprints']
      : []),
  ];
  if (differing.length === 0) return;
  throw failed(
    `the config pins other ${differing.join(', ')} for ${card.id}; if those are out of date, take them out of peers and pair again`,
  );
}

function assertUnrevoked(record: PeerRecord | undefined, card: PeerCard): void {
  const kids = kidsOf(card);
  const revoked = record?.revoked.find(({ kid }) => kids.includes(kid));
  if (revoked !== undefined) {
    throw new GatewayError('KEY_REVOKED', `${card.id} has revoked the key ${revoked.kid} of this card`);
  }
}

function kidsOf(card: PeerCard): readonly string[] {
  return [kidOf(card.encryptionKey, 'encryption'), ...card.signingKeys.map((key) => kidOf(key, 'signing'))];
}

function sameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((each) => other.includes(each));
}

function overlaps(one: readonly string[], other: readonly string[]): boolean {
  return one.some((each) => other.includes(each));
}

function failed(message: string): GatewayError {
  return new GatewayError('PAIRING_FAILED', message);
}

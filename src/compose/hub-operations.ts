/**
 * What the dashboard of a hub and scripts see and do, over the records of its parcels. From whom, for whom, when, how
 * large: the hub knows no more, so nothing more is here.
 */
import type { Settings } from '../config/settings.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { type Box, isParked, isWaiting, occupies, type Parcel, parcelState } from '../domain/parcel.js';
import { CODES, type ErrorCode } from '../errors/codes.js';
import type { HubMemberView, HubOperations, HubParcelView } from '../http/ports.js';
import type { Space } from '../spool/space.js';
import { DRAWBRIDGE_VERSION } from './version.js';

/** What a running hub lends for it. */
export interface HubSource {
  readonly ports: { readonly https: number };
  /** Those that are held and the newest of the others, newest first. */
  parcels(): readonly Parcel[];
  retry(id: EnvelopeId): Promise<void>;
  discard(id: EnvelopeId): Promise<void>;
  space(): Space;
  subscribe(listener: () => void): () => void;
}

export interface HubOperationsOptions {
  readonly hub: HubSource;
  readonly settings: Pick<Settings, 'site' | 'peers' | 'hub'>;
  readonly startedAtMs: number;
  readonly now: () => number;
}

const STATES = ['waiting', 'parked', 'done', 'expired', 'discarded', 'lost'] as const;
/** Where the meaning of a code speaks of studies. */
const MEANING: Partial<Record<ErrorCode, string>> = {
  PAYLOAD_INCONSISTENT: 'it is something else than one sealed envelope',
};
const DAY_MS = 24 * 3_600_000;

export function createHubOperations({
  hub,
  settings,
  startedAtMs,
  now,
}: HubOperationsOptions): HubOperations {
  const view = viewerOf(settings);
  return {
    overview() {
      const parcels = hub.parcels();
      return {
        site: { id: settings.site.id, name: settings.site.name },
        version: DRAWBRIDGE_VERSION,
        startedAtMs,
        nowMs: now(),
        https: { port: hub.ports.https },
        disk: hub.space(),
        expiryDays: settings.hub.expiryDays,
        members: viewMembers(settings, parcels),
        counts: Object.fromEntries(
          STATES.map((state) => [state, parcels.filter((parcel) => fits(parcel, state)).length]),
        ) as Record<(typeof STATES)[number], number>,
      };
    },
    parcels: ({ state, limit }) =>
      hub
        .parcels()
        .filter((parcel) => state === undefined || fits(parcel, state))
        .slice(0, limit)
        .map(view),
    retryParcel: (id) => hub.retry(id),
    discardParcel: (id) => hub.discard(id),
    subscribe: (listener) => hub.subscribe(listener),
  };
}

/** One that waits for one receiver and is parked for another needs an operator all the same. */
function fits(parcel: Parcel, state: (typeof STATES)[number]): boolean {
  if (state === 'parked') return parcel.removed === undefined && Object.values(parcel.boxes).some(isParked);
  return parcelState(parcel) === state;
}

/** The members in the order of the config; then the hub itself and former members, where something lies for them. */
function viewMembers(
  { site, peers, hub }: HubOperationsOptions['settings'],
  parcels: readonly Parcel[],
): readonly HubMemberView[] {
  const members = new Map<string, HubMemberView>();
  for (const { id, name, quotaBytes = hub.quotaBytes } of peers) {
    members.set(id, { id, name, kind: 'member', quotaBytes, ...EMPTY_BOX });
  }
  for (const parcel of parcels) {
    for (const [receiverId, box] of Object.entries(parcel.boxes)) {
      const known = members.get(receiverId);
      if (known === undefined && !occupies(parcel, receiverId)) continue;
      const member: HubMemberView =
        known ??
        (receiverId === site.id
          ? { id: site.id, name: site.name, kind: 'self', quotaBytes: hub.quotaBytes, ...EMPTY_BOX }
          : { id: receiverId, name: receiverId, kind: 'former', ...EMPTY_BOX });
      members.set(receiverId, withBox(member, parcel, box));
    }
  }
  return [...members.values()];
}

const EMPTY_BOX = { waitingCount: 0, waitingBytes: 0, parkedCount: 0, heldBytes: 0 };

function withBox(member: HubMemberView, parcel: Parcel, { state, atMs }: Box): HubMemberView {
  if (state === 'taken') return { ...member, takenAtMs: Math.max(member.takenAtMs ?? 0, atMs) };
  if (parcel.removed !== undefined) return member;
  const held = { ...member, heldBytes: member.heldBytes + parcel.archiveBytes };
  if (state !== 'waiting') return { ...held, parkedCount: member.parkedCount + 1 };
  return {
    ...held,
    waitingCount: member.waitingCount + 1,
    waitingBytes: member.waitingBytes + parcel.archiveBytes,
    oldestWaitingAtMs: Math.min(member.oldestWaitingAtMs ?? Number.POSITIVE_INFINITY, atMs),
  };
}

function viewerOf({ site, peers, hub }: HubOperationsOptions['settings']): (parcel: Parcel) => HubParcelView {
  const names = new Map([[site.id, site.name], ...peers.map(({ id, name }) => [id, name] as const)]);
  const nameOf = (id: string) => names.get(id) ?? id;
  return (parcel) => {
    const { id, senderId, archiveBytes, receivedAtMs, removed } = parcel;
    const boxes = Object.entries(parcel.boxes);
    const parked = removed === undefined ? boxes.filter(([, box]) => isParked(box)) : [];
    return {
      id,
      state: parcelState(parcel),
      senderId,
      senderName: nameOf(senderId),
      receivers: boxes.map(([receiverId, { state, atMs }]) => ({
        id: receiverId,
        name: nameOf(receiverId),
        state,
        atMs,
      })),
      archiveBytes,
      receivedAtMs,
      ...(removed === undefined ? {} : { removedAtMs: removed.atMs }),
      ...(parked.length === 0 ? {} : { parked: whyParked(parcel, parked) }),
    };
  };

  function whyParked(
    parcel: Parcel,
    parked: readonly (readonly [string, Box])[],
  ): NonNullable<HubParcelView['parked']> {
    const reasons = parked.map(([receiverId, box]) => reasonOf(parcel, receiverId, box));
    const code = parked.find(([, box]) => box.code !== undefined)?.[1].code;
    const times = parked.map(([, { atMs }]) => atMs);
    return {
      ...(code === undefined ? {} : { code }),
      message: reasons.map(({ message }) => message).join('; '),
      advice: [...new Set(reasons.map(({ advice }) => advice))].join('; '),
      sinceMs: Math.min(...times),
      ...(isWaiting(parcel) ? {} : { expiresAtMs: Math.max(...times) + hub.expiryDays * DAY_MS }),
    };
  }

  function reasonOf({ senderId }: Parcel, receiverId: string, { state, code }: Box) {
    if (receiverId === site.id) {
      return {
        message: `this hub cannot pass on what is within${code === undefined ? '' : `: ${MEANING[code] ?? CODES[code].meaning}`}`,
        advice: `tell ${nameOf(senderId)} what stands here, since they must send it anew; then discard it`,
      };
    }
    const name = nameOf(receiverId);
    if (!names.has(receiverId)) {
      return {
        message: `${name} is no member of this hub any more`,
        advice: `discard it, or add ${name} to peers again and retry`,
      };
    }
    return state === 'refused'
      ? {
          message: `${name} refused it`,
          advice: `ask ${name} for the reason, which their dashboard shows; then retry, or discard it`,
        }
      : {
          message: `${name} did not take it within ${hub.expiryDays} ${hub.expiryDays === 1 ? 'day' : 'days'}`,
          advice: `ask ${name} whether their bridge runs and looks in here; then retry, or discard it`,
        };
  }
}

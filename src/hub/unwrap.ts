/**
 * unwrap: an envelope for the hub itself → the envelope within it, deposited as if its sender had brought that. The
 * inner one is sealed to somebody else, so the hub learns only where to pass it on. Nothing that is decrypted here is
 * written before its shape is known to be that of a sealed envelope, and nothing is believed before the tag has
 * verified. Commit point: the parcel of the inner envelope; to do it twice is harmless.
 */
import { PassThrough, Writable } from 'node:stream';
import { type EnvelopeId, isEnvelopeId } from '../domain/envelope-id.js';
import { advanceParcel, boxOf, type Parcel } from '../domain/parcel.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import { openEnvelopeFolder } from '../jmix/envelope-folder.js';
import { FILES_LIST } from '../jmix/files-list.js';
import { METADATA_FILE } from '../jmix/metadata.js';
import { openEnvelope } from '../jmix/open.js';
import type { Deposit, Unpacked } from './deposit.js';
import { removeWhenDone } from './inbox.js';
import type { HubParts } from './parts.js';

/** One file within, and what describes it. */
const MAX_ENTRIES = 8;
const MAX_DOCUMENT_BYTES = 64 * 1024;
const INNER_NAME = /^files\/([^/]+)\.JMIX\.tar$/;
const BUFFER_BYTES = 1024 * 1024;

/** To open gigabytes again and again, only to hear that an inbox is still full, is no use. */
const FIRST_PAUSE_MS = 30_000;
const LONGEST_PAUSE_MS = 30 * 60_000;

export interface Unwrapper {
  /**
   * Works through all that waits and is due, one at a time.
   * @param freed receivers whose inboxes have room again: what waited for that is due
   */
  wake(freed?: readonly string[]): void;
  /** Stops what runs, and waits for it. */
  close(): Promise<void>;
}

/** What failed for now, and when it is due again. */
interface Pause {
  readonly untilMs: number;
  readonly lengthMs: number;
  readonly fullInbox: string | undefined;
}

export function startUnwrapper(parts: HubParts, deposit: Deposit): Unwrapper {
  const stop = new AbortController();
  const pauses = new Map<EnvelopeId, Pause>();
  let running: Promise<void> | undefined;
  let again = false;

  const settleOne = async (id: EnvelopeId): Promise<void> => {
    const before = pauses.get(id);
    if (before !== undefined && before.untilMs > parts.clock.now()) return;
    const failure = await settle(parts, deposit, id, stop.signal);
    pauses.delete(id);
    if (failure === undefined) return;
    const lengthMs = Math.min(LONGEST_PAUSE_MS, before === undefined ? FIRST_PAUSE_MS : before.lengthMs * 2);
    const { receiverId } = failure.facts;
    pauses.set(id, {
      untilMs: parts.clock.now() + lengthMs,
      lengthMs,
      fullInbox: typeof receiverId === 'string' ? receiverId : undefined,
    });
  };

  const work = async () => {
    do {
      again = false;
      for (const parcel of parts.parcels.held()) {
        if (stop.signal.aborted) return;
        if (waitsForUs(parts, parcel)) await settleOne(parcel.id);
      }
    } while (again);
  };

  return {
    wake(freed = []) {
      for (const [id, { fullInbox }] of pauses) {
        if (fullInbox !== undefined && freed.includes(fullInbox)) pauses.delete(id);
      }
      again = true;
      if (running !== undefined || stop.signal.aborted) return;
      running = work()
        .catch((error: unknown) => parts.log.error({ event: 'parcel.unwrap_failed', reason: String(error) }))
        .finally(() => {
          running = undefined;
        });
    },
    async close() {
      stop.abort();
      await running;
    },
  };
}

/**
 * Opens one, and notes how it ended.
 * @returns a failure that may pass, and leaves it waiting
 */
async function settle(
  parts: HubParts,
  deposit: Deposit,
  id: EnvelopeId,
  signal: AbortSignal,
): Promise<GatewayError | undefined> {
  const parcel = await parts.parcels.read(id);
  if (parcel === undefined || !waitsForUs(parts, parcel)) return undefined;
  const failure = await openAndDeposit(parts, deposit, parcel, signal).then(() => undefined, toGatewayError);
  if (failure === undefined) {
    await end(parts, id, { type: 'taken', receiverId: parts.site.id });
    return undefined;
  }
  const { code, kind, message } = failure;
  if (kind === 'transient' || kind === 'ambiguous') {
    if (!signal.aborted) parts.log.warn({ event: 'parcel.unwrap_postponed', parcel: id, code }, message);
    return failure;
  }
  await end(parts, id, { type: 'refused', receiverId: parts.site.id, code });
  parts.log.warn({ event: 'parcel.refused', parcel: id, from: parcel.senderId, code }, message);
  return undefined;
}

async function end(
  parts: HubParts,
  id: EnvelopeId,
  event: Parameters<typeof advanceParcel>[1],
): Promise<void> {
  const parcel = await parts.parcels.update(id, (record) =>
    waitsForUs(parts, record) ? advanceParcel(record, event, parts.clock.now()) : record,
  );
  await removeWhenDone(parts, parcel);
}

function waitsForUs(parts: HubParts, parcel: Parcel): boolean {
  return parcel.removed === undefined && boxOf(parcel, parts.site.id)?.state === 'waiting';
}

async function openAndDeposit(
  parts: HubParts,
  deposit: Deposit,
  { id, senderId }: Parcel,
  signal: AbortSignal,
): Promise<void> {
  const within: { id: EnvelopeId; unpacking: Promise<Unpacked> }[] = [];
  const keys = parts.members.get(senderId)?.signingKeys ?? [];
  await parts.keys.refresh();
  try {
    await openEnvelope({
      source: await openEnvelopeFolder(parts.layout.heldEnvelope(id)),
      recipientKeys: parts.keys.decryption,
      // Without pinned keys the connection's certificate or token has to do: it is what lets a member deposit at all.
      trust: keys.length > 0 ? { kind: 'pinned', keys } : { kind: 'allow-unsigned' },
      nowMs: parts.clock.now(),
      limits: {
        maxEntries: MAX_ENTRIES,
        maxBytes: parts.maxEnvelopeBytes,
        maxDocumentBytes: MAX_DOCUMENT_BYTES,
      },
      signal,
      async stage(name) {
        if (name === METADATA_FILE || name === FILES_LIST) return nowhere();
        const innerId = INNER_NAME.exec(name)?.[1];
        if (!isEnvelopeId(innerId) || within.length > 0) throw notOneEnvelope();
        const bytes = new PassThrough({ highWaterMark: BUFFER_BYTES });
        const unpacking = deposit.unpack(bytes, signal);
        // Its refusal must reach whoever still writes; the caller hears of it below.
        unpacking.catch((error: Error) => bytes.destroy(error));
        within.push({ id: innerId, unpacking });
        return bytes;
      },
    });
    const [inner] = within;
    if (inner === undefined) throw notOneEnvelope();
    await (await inner.unpacking).commit({ memberId: senderId, nestedAs: inner.id });
  } finally {
    for (const { unpacking } of within) {
      await unpacking.then(
        (unpacked) => unpacked.discard(),
        () => undefined,
      );
    }
  }
}

/** What describes the payload is checked as it passes, and kept by nobody. */
function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

function notOneEnvelope(): GatewayError {
  return new GatewayError(
    'PAYLOAD_INCONSISTENT',
    'an envelope for the hub holds exactly one file, which is another envelope: files/<id>.JMIX.tar',
  );
}

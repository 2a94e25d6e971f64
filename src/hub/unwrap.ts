/**
 * unwrap: an envelope for the hub itself → the envelope within it, deposited as if its sender had brought that. The
 * inner one is sealed to somebody else, so the hub learns only where to pass it on. Nothing that is decrypted here is
 * written before its shape is known to be that of a sealed envelope, and nothing is believed before the tag has
 * verified. Commit point: the parcel of the inner envelope; to do it twice is harmless.
 */
import { PassThrough, Writable } from 'node:stream';
import { type EnvelopeId, isEnvelopeId } from '../domain/envelope-id.js';
import { advanceParcel, type Parcel } from '../domain/parcel.js';
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

export interface Unwrapper {
  /** Works through all that waits, one at a time; what fails for now is tried again at the next call. */
  wake(): void;
  /** Stops what runs, and waits for it. */
  close(): Promise<void>;
}

export function startUnwrapper(parts: HubParts, deposit: Deposit): Unwrapper {
  const stop = new AbortController();
  let running: Promise<void> | undefined;
  let again = false;

  const work = async () => {
    do {
      again = false;
      for (const { id, boxes } of parts.parcels.held()) {
        if (stop.signal.aborted) return;
        if (boxes[parts.site.id]?.state === 'waiting') await settle(parts, deposit, id, stop.signal);
      }
    } while (again);
  };

  return {
    wake() {
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

/** Opens one, and notes how it ended; a failure that may pass leaves it waiting. */
async function settle(parts: HubParts, deposit: Deposit, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  const parcel = await parts.parcels.read(id);
  if (parcel === undefined || !waitsForUs(parts, parcel)) return;
  try {
    await openAndDeposit(parts, deposit, parcel, signal);
    await end(parts, parcel.id, { type: 'taken', receiverId: parts.site.id });
  } catch (error) {
    const { code, kind, message } = toGatewayError(error);
    if (kind === 'transient' || kind === 'ambiguous') {
      if (!signal.aborted) parts.log.warn({ event: 'parcel.unwrap_postponed', parcel: id, code }, message);
      return;
    }
    await end(parts, parcel.id, { type: 'refused', receiverId: parts.site.id, code });
    parts.log.warn({ event: 'parcel.refused', parcel: id, from: parcel.senderId, code }, message);
  }
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
  return parcel.removed === undefined && parcel.boxes[parts.site.id]?.state === 'waiting';
}

async function openAndDeposit(
  parts: HubParts,
  deposit: Deposit,
  { id, senderId }: Parcel,
  signal: AbortSignal,
): Promise<void> {
  const within: { id: EnvelopeId; unpacking: Promise<Unpacked> }[] = [];
  const keys = parts.members.get(senderId)?.signingKeys ?? [];
  try {
    await openEnvelope({
      source: await openEnvelopeFolder(parts.layout.heldEnvelope(id)),
      recipientKeys: [parts.encryptionKey],
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

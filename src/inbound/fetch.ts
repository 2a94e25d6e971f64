/**
 * fetch: an envelope that waits at an exchange → the inbox. Its archive is brought into a file that survives a broken
 * line and a crash, so that no byte is asked for twice; then it is received as if it had been uploaded. Commit point:
 * that of `receive`. Only after it the exchange hears that the envelope was taken.
 */
import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { uptime } from 'node:os';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError, isGatewayError, toGatewayError } from '../errors/gateway-error.js';
import { WIRE_MEDIA_TYPE } from '../jmix/envelope-archive.js';
import { afterProgress } from '../transport/broken-line.js';
import type { Inbox, WaitingEnvelope } from '../transport/transport.js';
import type { InboundParts } from './parts.js';
import type { Received, Upload } from './receive.js';

const READ_CHUNK_BYTES = 1 << 20;

export interface FetchParts extends InboundParts {
  /** Takes archives in; see `createReceiver`. */
  receive(upload: Upload): Promise<Received>;
}

/**
 * @throws what `Inbox` throws; SPOOL_ABOVE_WATERMARK while the disk is nearly full; and what makes an envelope
 *   unacceptable, when the exchange has been told so
 */
export async function fetch(
  parts: FetchParts,
  exchange: string,
  id: EnvelopeId,
  signal: AbortSignal,
): Promise<void> {
  const inbox = parts.lines.inboxAt(exchange);
  const waiting = (await inbox.list({ signal })).find((each) => each.id === id);
  // Taken by another bridge of ours, or acknowledged by a run that could not say so any more.
  if (waiting === undefined) return;
  if (await isHere(parts, exchange, waiting)) {
    await inbox.acknowledge(id, 'taken', signal);
    return;
  }
  const refusal = await parts.admission();
  if (refusal !== undefined) throw refusal;
  const file = parts.layout.fetchedArchive(id);
  await dropUnsynced(file, parts.clock.now());
  let bytes = 0;
  try {
    await inbox.take(waiting, file, {
      signal,
      onBytes: (count) => {
        bytes += count;
      },
    });
    await receive(parts, exchange, waiting, file, signal);
  } catch (error) {
    if (isGatewayError(error) && error.code === 'ENVELOPE_NOT_FOUND') return;
    await refuse(parts, inbox, id, file, error, signal);
    throw afterProgress(error, bytes);
  } finally {
    parts.log.info({ event: 'envelope.bytes_fetched', reception: id, exchange, bytes });
  }
  await inbox.acknowledge(id, 'taken', signal);
  await rm(file, { force: true });
}

/** Known by id and size: a crash kept us from saying so. Another envelope under this id is found out by receiving it. */
async function isHere(parts: FetchParts, exchange: string, waiting: WaitingEnvelope): Promise<boolean> {
  const known = (await parts.receptions.read(waiting.id))?.takenFrom;
  return known?.exchange === exchange && known.archiveBytes === waiting.sizeBytes;
}

/**
 * What was fetched before this machine last started may have its size and not its bytes, for nothing was synced yet.
 * Where only our process died, the kernel still has them.
 */
async function dropUnsynced(file: string, nowMs: number): Promise<void> {
  const bootedAtMs = nowMs - uptime() * 1000;
  const found = await stat(file).catch(() => undefined);
  if (found !== undefined && found.mtimeMs < bootedAtMs) await rm(file, { force: true });
}

async function receive(
  parts: FetchParts,
  exchange: string,
  { id, sizeBytes: archiveBytes }: WaitingEnvelope,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const body = createReadStream(file, { highWaterMark: READ_CHUNK_BYTES });
  try {
    await parts.receive({ from: { exchange, id, archiveBytes }, body, mediaType: WIRE_MEDIA_TYPE, signal });
  } catch (error) {
    if (signal.aborted) throw new GatewayError('CANCELLED', 'fetching was stopped', { cause: error });
    throw error;
  } finally {
    body.destroy();
  }
}

/** What can never be accepted is put aside at the exchange: it would be fetched again and again. */
async function refuse(
  parts: FetchParts,
  inbox: Inbox,
  id: EnvelopeId,
  file: string,
  raw: unknown,
  signal: AbortSignal,
): Promise<void> {
  const error = toGatewayError(raw);
  if (error.kind !== 'permanent' || !UNACCEPTABLE.has(error.code)) return;
  await inbox.acknowledge(id, 'refused', signal);
  await rm(file, { force: true });
  parts.log.warn({ event: 'envelope.refused', reception: id, code: error.code }, error.message);
}

/** Of the archive itself; a refusal by the exchange (a login that fails) says nothing about the envelope. */
const UNACCEPTABLE: ReadonlySet<string> = new Set([
  'ENVELOPE_MALFORMED',
  'MANIFEST_INVALID',
  'ARCHIVE_UNSAFE',
  'ENVELOPE_TOO_LARGE',
  'RECIPIENT_MISMATCH',
  'ENVELOPE_EXISTS',
]);

/**
 * fetch: an envelope that waits at an exchange → the inbox. Its archive is brought into a file that survives a broken
 * line and a crash, so that no byte is asked for twice; then it is received as if it had been uploaded. Commit point:
 * that of `receive`. Only after it the exchange hears that the envelope was taken.
 */
import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { uptime } from 'node:os';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import { WIRE_MEDIA_TYPE } from '../jmix/envelope-archive.js';
import { afterProgress } from '../transport/broken-line.js';
import type { WaitingEnvelope } from '../transport/transport.js';
import type { InboundParts } from './parts.js';
import type { Received, Upload } from './receive.js';

const READ_CHUNK_BYTES = 1 << 20;

/**
 * What can never be accepted is put aside at the exchange: it would be fetched again and again. Errors of the archive
 * itself; a refusal by the exchange (a login that fails) says nothing about the envelope.
 */
const UNACCEPTABLE: ReadonlySet<string> = new Set([
  'ENVELOPE_MALFORMED',
  'PAYLOAD_DECRYPT_FAILED',
  'ASSERTION_INVALID',
  'MANIFEST_INVALID',
  'ARCHIVE_UNSAFE',
  'ENVELOPE_TOO_LARGE',
  'RECIPIENT_MISMATCH',
  'ENVELOPE_EXISTS',
]);

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
  const file = parts.layout.fetchedArchive(id);
  const waiting = (await inbox.list({ signal })).find((each) => each.id === id);
  // Taken by another bridge of ours, or acknowledged by a run that could not say so any more.
  if (waiting === undefined) return rm(file, { force: true });
  const refusal = await parts.admission();
  if (refusal !== undefined) throw refusal;
  const keptBytes = await bytesKept(file, parts.clock.now());
  let bytes = 0;
  try {
    await inbox.take(waiting, file, {
      signal,
      onBytes: (count) => {
        bytes += count;
      },
    });
    // What is known already, since a crash kept us from saying so, comes out of this as it went in.
    await receive(parts, exchange, waiting, file, signal);
  } catch (raw) {
    const error = toGatewayError(raw);
    if (error.code === 'ENVELOPE_NOT_FOUND') return rm(file, { force: true });
    if (!UNACCEPTABLE.has(error.code)) throw afterProgress(error, bytes);
    await rm(file, { force: true });
    if (keptBytes > 0) throw fetchedAnew(error);
    await inbox.acknowledge(id, 'refused', signal);
    parts.log.warn({ event: 'envelope.refused', reception: id, code: error.code }, error.message);
    throw error;
  } finally {
    parts.log.info({ event: 'envelope.bytes_fetched', reception: id, exchange, bytes });
  }
  await inbox.acknowledge(id, 'taken', signal);
  await rm(file, { force: true });
}

/**
 * How much an earlier attempt has left. What was fetched before this machine last started may have its size and not its
 * bytes, for nothing was synced yet: that is removed. Where only our process died, the kernel still has them.
 */
async function bytesKept(file: string, nowMs: number): Promise<number> {
  const bootedAtMs = nowMs - uptime() * 1000;
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return 0;
  if (found.mtimeMs >= bootedAtMs) return found.size;
  await rm(file, { force: true });
  return 0;
}

/** The pieces may be of two archives; before an envelope is refused for that, it is looked at in one piece. */
function fetchedAnew(cause: GatewayError): GatewayError {
  const text = `the archive, which came in pieces, cannot be accepted, so it is fetched anew: ${cause.message}`;
  return new GatewayError('ENVELOPE_INCOMPLETE', text, { cause });
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

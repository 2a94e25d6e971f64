/**
 * GET of an archive into a file, behind the bytes that the file has already (RFC 9110 §14). What the answer says of
 * itself decides where its bytes go: a server that ignores the range, or has another archive by now, sends all of it.
 */
import { once } from 'node:events';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { gathered } from '../../jmix/gathered.js';
import { pipeInto } from '../../jmix/pipe-into.js';
import { classifySocketError } from '../classify-socket.js';
import type { TakeOptions, WaitingEnvelope } from '../transport.js';
import { refusalFrom } from './answer.js';
import { readAnswer, STALL_TIMEOUT_MS } from './exchange.js';
import type { ResumablePeer } from './resumable.js';

const WRITE_BUFFER_BYTES = 1024 * 1024;

export interface Download extends TakeOptions {
  readonly peer: ResumablePeer;
  readonly envelope: WaitingEnvelope;
  readonly file: string;
  /** The entity tag under which an earlier attempt of this process saw the archive. */
  readonly etag: string | undefined;
  readonly onEtag: (etag: string) => void;
}

/** @throws what `Inbox.take` throws */
export async function download(options: Download): Promise<void> {
  const { envelope, file, signal } = options;
  const handle = await open(file, constants.O_RDWR | constants.O_CREAT, 0o600).catch(refuseWrite);
  try {
    let have = (await handle.stat()).size;
    if (have > envelope.sizeBytes) {
      await handle.truncate(0).catch(refuseWrite);
      have = 0;
    }
    const response = await ask(options, have);
    const start = await startOf(response, envelope, have);
    if (start === undefined) return;
    if (start < have) await handle.truncate(start).catch(refuseWrite);
    const { etag } = response.headers;
    if (etag !== undefined) options.onEtag(etag);
    await write(response, handle, start, options);
  } catch (error) {
    if (signal.aborted && !isGatewayError(error)) throw cancelled(error);
    throw error;
  } finally {
    await handle.close();
  }
}

async function ask({ peer, envelope, etag, signal }: Download, have: number): Promise<IncomingMessage> {
  const request = httpsRequest(new URL(`${peer.base}/api/jmix/${envelope.id}`), {
    agent: peer.agent,
    method: 'GET',
    signal,
    timeout: STALL_TIMEOUT_MS,
    headers: {
      ...peer.headers,
      accept: 'application/x-tar, application/problem+json',
      ...(have === 0 ? {} : { range: `bytes=${have}-`, ...(etag === undefined ? {} : { 'if-range': etag }) }),
    },
  });
  request.on('timeout', () =>
    request.destroy(new GatewayError('PEER_UNREACHABLE', `nothing moved for ${STALL_TIMEOUT_MS / 1000} s`)),
  );
  request.end();
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    // Of a broken connection the reader hears; until there is one, nobody else must.
    request.on('error', () => undefined);
    return response;
  } catch (error) {
    throw signal.aborted ? cancelled(error) : classifySocketError(error);
  }
}

/**
 * Where in the file the body belongs; undefined when nothing is missing.
 * @throws ENVELOPE_NOT_FOUND, ENVELOPE_INCOMPLETE when it has another size than announced, and refusals
 */
async function startOf(
  response: IncomingMessage,
  { sizeBytes }: WaitingEnvelope,
  have: number,
): Promise<number | undefined> {
  const { headers, statusCode: status = 0 } = response;
  if (status === 200 || status === 206) {
    const range =
      status === 206 ? rangeOf(headers) : { start: 0, sizeBytes: Number(headers['content-length']) };
    if (range?.sizeBytes === sizeBytes && (range.start === have || range.start === 0)) return range.start;
    response.destroy();
    throw incomplete(sizeBytes, range?.sizeBytes);
  }
  const body = await readAnswer(response).catch((error: unknown) => {
    throw classifySocketError(error);
  });
  if (status === 416) {
    const size = /^bytes \*\/(\d{1,15})$/.exec(headers['content-range'] ?? '')?.[1];
    if (Number(size) === sizeBytes && have === sizeBytes) return undefined;
    throw incomplete(sizeBytes, size === undefined ? undefined : Number(size));
  }
  if (status === 404) throw new GatewayError('ENVELOPE_NOT_FOUND', 'the envelope is not there any more');
  throw refusalFrom({ status, headers, body });
}

/** RFC 9110 §14.4: `bytes first-last/size`. */
function rangeOf(headers: IncomingHttpHeaders): { start: number; sizeBytes: number } | undefined {
  const found = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(headers['content-range'] ?? '');
  if (found === null) return undefined;
  const [start, last, sizeBytes] = found.slice(1).map(Number);
  return start === undefined || sizeBytes === undefined || last !== sizeBytes - 1
    ? undefined
    : { start, sizeBytes };
}

async function write(
  response: IncomingMessage,
  handle: FileHandle,
  start: number,
  { envelope: { sizeBytes }, signal, pace, onBytes }: Download,
): Promise<void> {
  let end = start;
  const arriving = async function* (): AsyncGenerator<Buffer, void, undefined> {
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        end += chunk.length;
        if (end > sizeBytes) throw incomplete(sizeBytes, end);
        onBytes?.(chunk.length);
        yield chunk;
      }
    } catch (error) {
      throw signal.aborted ? cancelled(error) : classifySocketError(error);
    }
  };
  const sink = handle.createWriteStream({ start, highWaterMark: WRITE_BUFFER_BYTES });
  const limited = pace === undefined ? arriving() : throughLimiter(arriving(), pace.limiter());
  try {
    await pipeInto(gathered(limited), sink, signal);
  } catch (error) {
    response.destroy();
    if (isGatewayError(error)) throw error;
    if (signal.aborted) throw cancelled(error);
    refuseWrite(error);
  }
  if (end !== sizeBytes) throw incomplete(sizeBytes, end);
}

async function* throughLimiter(source: AsyncIterable<Buffer>, limiter: Transform): AsyncGenerator<Buffer> {
  // Its failure comes out of the limiter.
  pipeline(source, limiter).catch(() => undefined);
  yield* limiter as AsyncIterable<Buffer>;
}

function incomplete(expectedBytes: number, gotBytes: number | undefined): GatewayError {
  return new GatewayError(
    'ENVELOPE_INCOMPLETE',
    `expected an archive of ${expectedBytes} bytes, got ${gotBytes}`,
  );
}

function cancelled(cause: unknown): GatewayError {
  return new GatewayError('CANCELLED', 'the transfer was stopped', { cause });
}

function refuseWrite(cause: unknown): never {
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
  throw new GatewayError('SPOOL_WRITE_FAILED', `the archive cannot be written: ${errno}`, {
    cause,
    facts: { errno },
  });
}

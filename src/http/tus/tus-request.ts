/**
 * A request of Node as the tus server takes it, and its refusals as errors of ours. Only headers of the protocol pass:
 * nothing that a proxy or a browser may add has a meaning here.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ReadableStream } from 'node:stream/web';
import { setTimeout as pause } from 'node:timers/promises';
import type { ErrorCode } from '../../errors/codes.js';
import { GatewayError, isGatewayError, toGatewayError } from '../../errors/gateway-error.js';
import { gathered } from '../../jmix/gathered.js';
import { askForBody } from '../request-body.js';

const PROTOCOL_HEADERS = [
  'tus-resumable',
  'upload-length',
  'upload-defer-length',
  'upload-metadata',
  'upload-offset',
  'upload-concat',
];
const BODY_HEADERS = ['content-type', 'content-length'];
/** From a dead connection nothing comes for this long. */
const QUIET_MS = 50;
/** One that is alive all the same is not listened to for longer. */
const MAX_DRAIN_MS = 1_000;

/**
 * @param address path with the upload's name; the host in it means nothing
 * @param stop ends the body, after what has arrived, as if no more would come
 */
export function toTusRequest(
  request: IncomingMessage,
  response: ServerResponse,
  address: string,
  stop: AbortSignal,
): Request {
  const { method = 'GET' } = request;
  const hasBody = method === 'PATCH';
  const headers = new Headers();
  for (const name of hasBody ? [...PROTOCOL_HEADERS, ...BODY_HEADERS] : PROTOCOL_HEADERS) {
    const value = request.headers[name];
    if (typeof value === 'string') headers.set(name, value);
  }
  const body = hasBody ? ReadableStream.from(gathered(arriving(request, response, stop))) : null;
  return new Request(`http://localhost${address}`, { method, headers, body, duplex: 'half' });
}

/**
 * The body, asked for when the first byte is wanted: until then a refusal costs nothing. A connection that breaks ends
 * it, and is no error: what has come is kept, that is what the protocol is for.
 */
async function* arriving(
  request: IncomingMessage,
  response: ServerResponse,
  stop: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  askForBody(request, response);
  // Not destroyed with the iterator: its socket is needed for the answer.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  let count = 0;
  let end: () => void = () => undefined;
  let isOver = false;
  const stopWhenQuiet = async () => {
    await whenQuiet(() => count);
    isOver = true;
    end();
  };
  stop.addEventListener('abort', () => void stopWhenQuiet(), { once: true });
  try {
    while (!isOver) {
      // A promise for each chunk: one for all, in a race with each, would keep all chunks until it is settled.
      const next = await new Promise<IteratorResult<Buffer>>((resolve, reject) => {
        end = () => resolve({ done: true, value: undefined });
        chunks.next().then(resolve, reject);
      });
      if (next.done === true) return;
      count += 1;
      yield next.value;
    }
  } catch {
    // The sender comes again.
  }
}

/** Resolves when `count` stands still, since what lies in the socket has arrived as well; or has not for long. */
async function whenQuiet(count: () => number): Promise<void> {
  const deadlineMs = Date.now() + MAX_DRAIN_MS;
  let before = -1;
  while (count() !== before && Date.now() < deadlineMs) {
    before = count();
    await pause(QUIET_MS);
  }
}

/** What is answered to a request that the tus server refuses. */
export interface TusRefusal {
  readonly error: GatewayError;
  /** Where the protocol wants another one than the code has. */
  readonly status?: number;
}

/** @param reason what the tus server failed with: an error of ours, a status and text of its own, or anything */
export function refusalOf(reason: unknown): TusRefusal {
  if (isGatewayError(reason)) return { error: reason };
  if (typeof reason !== 'object' || reason === null || !('status_code' in reason)) {
    return { error: toGatewayError(reason) };
  }
  return statusRefusal(Number(reason.status_code), reason);
}

/** @param status with which the tus server refuses, 400 or above */
export function statusRefusal(status: number, cause?: unknown): TusRefusal {
  const refuse = (code: ErrorCode, message: string) => new GatewayError(code, message, { cause });
  switch (status) {
    case 404:
    case 410:
      return { error: refuse('ENVELOPE_NOT_FOUND', 'there is no such upload') };
    case 409:
      return { error: refuse('STATE_INVALID', 'the upload has another offset than the request') };
    case 413:
      return {
        error: refuse('ENVELOPE_TOO_LARGE', 'the upload is larger than the limit, or than announced'),
      };
    case 400:
    case 403:
    case 412:
    case 415:
    case 501:
      return { error: refuse('REQUEST_INVALID', 'the request is not one of tus 1.0.0'), status };
    default:
      return { error: refuse('CANCELLED', 'another connection was still writing to the upload') };
  }
}

/**
 * One HTTP request and its answer. Knows nothing of envelopes; tells "certainly not taken" from "may have been taken"
 * by whether the last byte had left when the connection broke.
 */
import { once } from 'node:events';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { type Agent, request as httpsRequest } from 'node:https';
import { Readable, type Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { GatewayError } from '../../errors/gateway-error.js';
import { classifySocketError } from '../classify-socket.js';

/** A connection on which nothing moves for this long is given up. */
export const STALL_TIMEOUT_MS = 120_000;
/** How long the far side may take from the last byte to its answer: it makes gigabytes durable meanwhile. */
const ANSWER_TIMEOUT_MS = 600_000;
/** RFC 9110 §10.1.1: a client does not wait for 100 (Continue) for ever. */
const CONTINUE_TIMEOUT_MS = 5_000;
/** No answer that we ask for is larger; a receipt of 100,000 instances stays below. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/**
 * What a request carries: little, as bytes; or an archive, which a stream gives or a function writes. Archives are not
 * sent before the far side has said that it wants them.
 */
export type OutgoingBody =
  | { readonly sizeBytes: number; readonly stream: Readable | Buffer }
  | { readonly sizeBytes: number; readonly send: (request: Writable) => Promise<void> };

export interface Exchange {
  /** Its connections are verified. */
  readonly agent: Agent;
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: OutgoingBody;
  readonly signal: AbortSignal;
  /** Of the answer's body; more is refused. Default: 32 MiB. */
  readonly maxAnswerBytes?: number;
  /** The last byte of the body has left; awaited before the answer is looked at. */
  readonly onSent?: (() => Promise<void>) | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** @throws PEER_UNREACHABLE, PEER_UNTRUSTED, SHIP_UNCONFIRMED (the body had left whole), CANCELLED */
export async function exchange(options: Exchange): Promise<Answer> {
  const { body, signal } = options;
  // Gigabytes are not sent before the peer has said that it wants them; a few kilobytes are.
  const asksFirst = body !== undefined && !('stream' in body && Buffer.isBuffer(body.stream));
  const request = httpsRequest(options.url, {
    agent: options.agent,
    method: options.method,
    signal,
    timeout: STALL_TIMEOUT_MS,
    headers: {
      ...options.headers,
      accept: 'application/json, application/jose, application/problem+json',
      ...(body === undefined
        ? {}
        : { 'content-length': body.sizeBytes, ...(asksFirst ? { expect: '100-continue' } : {}) }),
    },
  });
  request.on('timeout', () =>
    request.destroy(new GatewayError('PEER_UNREACHABLE', `nothing moved for ${STALL_TIMEOUT_MS / 1000} s`)),
  );
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  answered.catch(() => undefined);
  let sent = body === undefined;
  try {
    if (body === undefined) {
      request.end();
    } else if (!asksFirst || (await mayContinue(request, answered))) {
      sent = await sendBody(request, body, answered);
      if (sent) await options.onSent?.();
    }
    request.setTimeout(sent ? ANSWER_TIMEOUT_MS : STALL_TIMEOUT_MS);
    const [response] = await answered;
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: await readAnswer(response, options.maxAnswerBytes),
    };
  } catch (error) {
    if (signal.aborted) throw new GatewayError('CANCELLED', 'the exchange was stopped', { cause: error });
    const classified = classifySocketError(error);
    if (body !== undefined && sent && classified.code === 'PEER_UNREACHABLE') {
      throw new GatewayError(
        'SHIP_UNCONFIRMED',
        'the connection broke after the last byte, before the answer',
        {
          cause: error,
        },
      );
    }
    throw classified;
  } finally {
    if (body !== undefined && 'stream' in body && body.stream instanceof Readable) body.stream.destroy();
  }
}

/** False when the peer has answered already, and wants no body. */
async function mayContinue(request: ClientRequest, answered: Promise<unknown>): Promise<boolean> {
  request.flushHeaders();
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<boolean>((resolve) => {
    // The clock starts with the connection: connecting has a limit of its own.
    request.once('socket', () => {
      timer = setTimeout(() => resolve(true), CONTINUE_TIMEOUT_MS);
    });
  });
  try {
    return await Promise.race([
      once(request, 'continue').then(() => true),
      answered.then(() => false),
      patience,
    ]);
  } finally {
    clearTimeout(timer);
  }
}

/** True when every byte was sent; false when the peer answered before that. */
async function sendBody(
  request: ClientRequest,
  body: OutgoingBody,
  answered: Promise<unknown>,
): Promise<boolean> {
  let early = false;
  const sending = sendAll(request, body).then(
    () => true,
    (error: unknown) => {
      if (early) return false;
      throw error;
    },
  );
  const answer = answered.then(() => {
    early = true;
    return false;
  });
  answer.catch(() => undefined);
  const sent = await Promise.race([sending, answer]);
  if (!sent) {
    sending.catch(() => undefined);
    if ('stream' in body && body.stream instanceof Readable) body.stream.destroy();
  }
  return sent;
}

async function sendAll(request: ClientRequest, body: OutgoingBody): Promise<void> {
  if ('send' in body) {
    await body.send(request);
    request.end();
    await finished(request, { readable: false });
    return;
  }
  const source = body.stream instanceof Readable ? body.stream : Readable.from([body.stream]);
  await pipeline(source, request);
}

/** A whole body, bounded. @throws PEER_REFUSED when it is larger than any that we ask for */
export async function readAnswer(response: IncomingMessage, maxBytes = MAX_ANSWER_BYTES): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      response.destroy();
      throw new GatewayError('PEER_REFUSED', `the peer answers more than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

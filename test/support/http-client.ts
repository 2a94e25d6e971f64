/** One request over a socket of its own, as raw as tests need it: when the answer comes, what was sent by then. */
import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { TestCertificate } from './certificates.js';

export interface Asked extends RequestOptions {
  readonly port: number;
  readonly tls?: boolean;
  readonly identity?: TestCertificate;
  /** Sent in this order; generated while the socket takes them. */
  readonly body?: Iterable<Buffer | string>;
}

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Body bytes handed to the socket before the answer came. */
  readonly sentBytes: number;
  /** 100 (Continue) came. */
  readonly continued: boolean;
}

/**
 * With an Expect header the body waits for 100 (Continue). Bodies stop when the answer comes early.
 * @throws Error of the socket, when there is no answer
 */
export function ask({ tls, identity, body, ...options }: Asked): Promise<Answered> {
  const credentials = identity === undefined ? {} : { cert: identity.certificate, key: identity.privateKey };
  const request = tls
    ? httpsRequest({ host: '127.0.0.1', agent: false, rejectUnauthorized: false, ...credentials, ...options })
    : httpRequest({ host: '127.0.0.1', agent: false, ...options });
  let sentBytes = 0;
  let continued = false;
  let answered = false;
  const chunks = body?.[Symbol.iterator]();
  const send = () => {
    while (!answered) {
      const next = chunks?.next();
      if (next === undefined || next.done) {
        request.end();
        return;
      }
      sentBytes += next.value.length;
      if (!request.write(next.value)) {
        request.once('drain', send);
        return;
      }
    }
  };
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('continue', () => {
      continued = true;
      send();
    });
    request.on('response', async (response) => {
      answered = true;
      const parts: Buffer[] = [];
      try {
        for await (const part of response as AsyncIterable<Buffer>) parts.push(part);
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(parts),
          sentBytes,
          continued,
        });
      } catch (error) {
        reject(error);
      } finally {
        request.destroy();
      }
    });
    if (options.headers !== undefined && 'expect' in options.headers) request.flushHeaders();
    else send();
  });
}

/** The JSON of an answer. */
export function json(answer: Answered): Record<string, unknown> {
  return JSON.parse(answer.body.toString('utf8')) as Record<string, unknown>;
}

/**
 * Uploads in pieces (tus 1.0.0, the protocol that JMIX names for them): POST begins one, HEAD says how far it came, PATCH
 * goes on, DELETE gives up. The last PATCH is answered when the envelope is durable, like POST /api/jmix, and refused
 * with the same problems. HEAD of an upload that is whole takes it over first, if a crash has come in between:
 * to a tus client, an offset that equals the length means that all is done.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import express, { type Response as ExpressResponse, type RequestHandler, type Router } from 'express';
import { GatewayError } from '../../errors/gateway-error.js';
import type { Log } from '../../observe/log.js';
import { parseUploadName } from '../../transport/https/resumable-name.js';
import type { PeerApi, PeerLocals } from '../ports.js';
import { sendProblem } from '../problem.js';
import { leaveBody } from '../request-body.js';
import { openPeerUploads, type PeerUploads, UPLOADS_PATH } from './peer-uploads.js';
import { sweepUploads } from './sweep-uploads.js';
import { refusalOf, statusRefusal, type TusRefusal, toTusRequest } from './tus-request.js';

/** To make gigabytes durable may take long on a slow disk, and nothing moves on the connection meanwhile. */
const COMMIT_TIMEOUT_MS = 600_000;
/** What of the tus server's answer goes out; what it says to browsers does not. */
const ANSWER_HEADERS = /^(?:location|cache-control|tus-.+|upload-.+)$/;

export interface UploadsOptions {
  /** A folder of its own; nothing else lies in it. */
  readonly folder: string;
  /** The largest archive that is taken, in bytes. */
  readonly maxBytes: number;
  readonly receive: PeerApi['receive'];
  readonly admission: PeerApi['admission'];
  readonly probe: PeerApi['probe'];
  readonly log: Log;
  /** An upload of which nothing came for so long is forgotten. */
  readonly expiryMs: number;
}

export interface Uploads {
  /** To be mounted at `/api/jmix/uploads`, behind whatever names the peer in `response.locals.peerId`. */
  readonly router: Router;
  /** Forgets what expired; to be called at start and now and then. @param nowMs milliseconds since 1970 */
  sweep(nowMs: number): Promise<void>;
}

type Handler = RequestHandler<Record<string, string>, unknown, unknown, unknown, PeerLocals>;

/** For one process: who writes to an upload is known in memory alone. */
export function createUploads(options: UploadsOptions): Uploads {
  const { folder, maxBytes, log } = options;
  const owners = new Map<string, Promise<PeerUploads>>();
  /** Who writes to an upload now, by folder and name. */
  const writers = new Map<string, AbortController>();

  const uploadsOf = (peerId: string): Promise<PeerUploads> => {
    const known = owners.get(peerId);
    if (known !== undefined) return known;
    const opening = openPeerUploads({
      folder: join(folder, ownerOf(peerId)),
      peerId,
      maxBytes,
      api: options,
    });
    owners.set(peerId, opening);
    opening.catch(() => owners.delete(peerId));
    return opening;
  };

  const handle: Handler = async (request, response) => {
    const { peerId } = response.locals;
    const { upload: name = '' } = request.params;
    // Nobody finds out more about a name that cannot be one than about another's.
    if (name !== '' && parseUploadName(name) === undefined) return refuse(response, statusRefusal(404));
    if (request.method === 'POST' || request.method === 'PATCH') {
      const refusal = options.admission();
      if (refusal !== undefined) throw refusal;
    }
    const uploads = await uploadsOf(peerId);
    const key = `${ownerOf(peerId)}/${name}`;
    // A sender that comes again has lost its old connection, even if that is not known here yet.
    if (name !== '') writers.get(key)?.abort();
    const writer = new AbortController();
    if (request.method === 'PATCH') writers.set(key, writer);
    response.setHeader('Tus-Resumable', '1.0.0');
    const waitLonger = () => response.socket?.setTimeout(COMMIT_TIMEOUT_MS);
    if (request.method === 'PATCH') request.once('end', waitLonger);
    try {
      const address = name === '' ? UPLOADS_PATH : `${UPLOADS_PATH}/${name}`;
      const answer = await uploads.handle(toTusRequest(request, response, address, writer.signal));
      if (answer.kind === 'failed') return refuse(response, refusalOf(answer.reason));
      if (answer.response.status >= 400) return refuse(response, statusRefusal(answer.response.status));
      if (request.method === 'HEAD' && isWhole(answer.response.headers)) {
        waitLonger();
        await uploads.finish(name);
      }
      send(response, answer.response);
    } finally {
      if (writers.get(key) === writer) writers.delete(key);
    }
  };

  const refuse = (response: ExpressResponse, { error, status }: TusRefusal): void =>
    sendProblem(response, error, log, status);

  const router = express.Router();
  router.options('/', handle);
  router.post('/', handle);
  router.head('/:upload', handle);
  router.patch('/:upload', handle);
  router.delete('/:upload', handle);
  router.use(() => {
    throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is nothing at this address');
  });
  return {
    router,
    async sweep(nowMs) {
      const removed = await sweepUploads(folder, nowMs - options.expiryMs);
      if (removed > 0) log.info({ event: 'uploads.expired', count: removed });
    },
  };
}

/** The folder of a peer, whatever characters its id has: 32 hex digits. */
function ownerOf(peerId: string): string {
  return createHash('sha256').update(peerId).digest('hex').slice(0, 32);
}

function isWhole(headers: Headers): boolean {
  return headers.get('upload-offset') === headers.get('upload-length');
}

function send(response: ExpressResponse, answer: Response): void {
  if (response.destroyed) return;
  // A writer that was overtaken may still be sending.
  leaveBody(response.req, response);
  for (const [name, value] of answer.headers) if (ANSWER_HEADERS.test(name)) response.setHeader(name, value);
  // Without a length, callers take HEAD for an answer that ends with its connection.
  if (answer.status !== 204) response.setHeader('content-length', '0');
  response.status(answer.status).end();
}

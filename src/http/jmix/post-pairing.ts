/**
 * POST /api/pairing/request and /api/pairing/standing: what a site that is not known yet may say, while an operator has
 * opened the door for it. At every other time there is nothing here, as anywhere else. Each answer is a message of ours.
 */
import { TLSSocket } from 'node:tls';
import { type RequestHandler, Router, raw } from 'express';
import { plainFingerprint } from '../../domain/fingerprint.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { PairingDoor } from '../pairing-ports.js';
import { askForBody } from '../request-body.js';

const MEDIA_TYPE = 'application/jose';
const MAX_MESSAGE_BYTES = 8 * 1024;
/** Of all callers together: the one that is meant asks about once a second. */
const MAX_PER_SECOND = 20;

/** @param now milliseconds since the epoch */
export function pairingRoutes(door: PairingDoor, now: () => number = Date.now): Router {
  const router = Router();
  router.use((_request, _response, next) => next(door.isOpen() ? undefined : 'router'));
  router.use(limiter(now));
  const body: RequestHandler[] = [
    (request, response, next) => {
      if (!request.is(MEDIA_TYPE)) {
        response.setHeader('accept', MEDIA_TYPE);
        throw new GatewayError('MEDIA_TYPE_UNSUPPORTED', `expected Content-Type ${MEDIA_TYPE}`);
      }
      askForBody(request, response);
      next();
    },
    raw({ type: MEDIA_TYPE, limit: MAX_MESSAGE_BYTES, inflate: false }),
  ];
  const answering =
    (answer: (message: Buffer, certificate: string | undefined) => Promise<Buffer>): RequestHandler =>
    async (request, response) => {
      const message: unknown = request.body;
      if (!Buffer.isBuffer(message)) throw new GatewayError('REQUEST_INVALID', 'expected a message');
      const answered = await answer(message, fingerprintOf(request.socket));
      response.setHeader('cache-control', 'no-store');
      response.type(MEDIA_TYPE).send(answered);
    };
  router.post(
    '/request',
    ...body,
    answering((message, certificate) => door.request(message, certificate)),
  );
  router.post(
    '/standing',
    ...body,
    answering((message) => door.standing(message)),
  );
  return router;
}

/** @throws PEER_BUSY */
function limiter(now: () => number): RequestHandler {
  let second = 0;
  let count = 0;
  return (_request, _response, next) => {
    const current = Math.floor(now() / 1000);
    if (current !== second) {
      second = current;
      count = 0;
    }
    count += 1;
    if (count > MAX_PER_SECOND) throw new GatewayError('PEER_BUSY', 'too many pairing messages at one time');
    next();
  };
}

function fingerprintOf(socket: unknown): string | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const { fingerprint256 } = socket.getPeerCertificate();
  return fingerprint256 === undefined ? undefined : plainFingerprint(fingerprint256);
}

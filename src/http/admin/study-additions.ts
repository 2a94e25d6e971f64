/**
 * What scripts add to a study that lies here. POST /studies/:key/attachments?name=…&kind=file|report|preview takes the file
 * as its body, of any media type: 201 when it is durable, 200 when it was here before. PUT /studies/:key/extensions
 * takes what the manifests shall say of this study: 204.
 */
import type { IncomingMessage } from 'node:http';
import express, { type Request, Router } from 'express';
import { ATTACHMENT_KINDS } from '../../domain/attachment.js';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { parseStrictJson } from '../../jmix/strict-json.js';
import { askForBody } from '../request-body.js';
import type { StudyAdditions } from '../study-ports.js';

/** A manifest that anybody reads is a few KiB. */
const MAX_EXTENSIONS_BYTES = 64 * 1024;

export function studyAdditions(operations: StudyAdditions): Router {
  const router = Router();
  router.post('/studies/:key/attachments', async (request, response) => {
    const { name, kind } = readQuery(request);
    const refusal = operations.admission();
    if (refusal !== undefined) throw refusal;
    const body = {
      [Symbol.asyncIterator]() {
        // Only now is it known that the study is there and the name is good.
        askForBody(request, response);
        // Not destroyed with the iterator: its socket is needed for the answer.
        return request.iterator({ destroyOnReturn: false });
      },
    };
    const { created } = await operations
      .attach(request.params.key, { name, kind, body })
      .catch((error: unknown) => {
        throw isCutOff(request) && !isGatewayError(error) ? wentAway(error) : error;
      });
    response.status(created ? 201 : 200).json({ status: created ? 'created' : 'exists' });
  });
  router.put(
    '/studies/:key/extensions',
    (request, response, next) => {
      askForBody(request, response);
      next();
    },
    express.raw({ type: 'application/json', limit: MAX_EXTENSIONS_BYTES, inflate: false }),
    async (request, response) => {
      const bytes: unknown = request.body;
      if (!Buffer.isBuffer(bytes)) {
        response.setHeader('accept', 'application/json');
        throw new GatewayError('MEDIA_TYPE_UNSUPPORTED', 'expected Content-Type application/json');
      }
      const extensions = parseStrictJson(bytes, 'the body', 'REQUEST_INVALID');
      await operations.describeStudy(request.params.key, extensions);
      response.status(204).end();
    },
  );
  return router;
}

function readQuery({ query: { name, kind = 'file' } }: Request) {
  const known = ATTACHMENT_KINDS.find((each) => each === kind);
  if (known === undefined)
    throw new GatewayError('REQUEST_INVALID', `expected kind to be ${ATTACHMENT_KINDS.join(', ')}`);
  if (typeof name !== 'string') throw new GatewayError('REQUEST_INVALID', 'expected one name in the query');
  return { name, kind: known };
}

function isCutOff({ errored }: IncomingMessage): boolean {
  return errored !== null && 'code' in errored && errored.code === 'ECONNRESET';
}

function wentAway(cause: unknown): GatewayError {
  return new GatewayError('CANCELLED', 'the caller closed the connection', { cause });
}

/**
 * A modality's request for storage commitment, from its N-ACTION to the judgement. Commit point: the record, with the
 * references written before it; only then is the N-ACTION answered. Asking again is harmless: the same modality with the
 * same transaction UID and instances is the same request, and gets a new report.
 */
import { createHash } from 'node:crypto';
import type { CommitmentResult } from '../dimse/commitment-data-set.js';
import type { CommitmentAsked } from '../dimse/commitment-service.js';
import type { AssociationInfo } from '../dimse/store-scp.js';
import type { FailedReference, InstanceReference } from '../domain/commitment.js';
import { advanceCommitmentRequest, type CommitmentRequest } from '../domain/commitment-request.js';
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { judgeReferences } from './commitment-judge.js';
import type { CommitmentParts } from './commitment-parts.js';

const REFERENCES_DOCUMENT = 'references.json';
const FAILED_DOCUMENT = 'failed.json';

/**
 * Makes a request durable. Not to be called twice at one time.
 * @returns undefined when the transaction UID stands for other instances of this modality
 * @throws SPOOL_WRITE_FAILED and what else the disk says
 */
export async function keepRequest(
  parts: CommitmentParts,
  asked: CommitmentAsked,
  association: AssociationInfo,
): Promise<CommitmentRequest | undefined> {
  const { callingAe, calledAe, remoteAddress } = association;
  const { transactionUid, references } = asked;
  const id = requestId(callingAe, transactionUid);
  const referencesSha256 = hashOf(references);
  const known = await parts.requests.read(id);
  if (known !== undefined) {
    if (known.referencesSha256 !== referencesSha256) return undefined;
    return parts.requests.update(id, (record) =>
      record.progress === 'asked'
        ? record
        : advanceCommitmentRequest(record, { type: 'asked-again' }, parts.clock.now()),
    );
  }
  const request: CommitmentRequest = {
    id,
    revision: 1,
    transactionUid,
    callingAe,
    calledAe,
    remoteAddress,
    referenceCount: references.length,
    referencesSha256,
    askedAtMs: parts.clock.now(),
    progress: 'asked',
  };
  await parts.requests.writeDocument(id, REFERENCES_DOCUMENT, JSON.stringify(references));
  await parts.requests.create(request);
  return request;
}

/**
 * Judges a request, if its time has come.
 * @returns the record as it is now, and the studies whose receipts it still waits for
 */
export async function judgeRequest(
  parts: CommitmentParts,
  request: CommitmentRequest,
): Promise<{ readonly request: CommitmentRequest; readonly waitsFor: ReadonlySet<string> }> {
  const references = await readReferences(parts, request.id);
  const { failed, waitsFor } = await judgeReferences(parts, references, request.askedAtMs);
  if (waitsFor.size > 0) return { request, waitsFor };
  await parts.requests.writeDocument(request.id, FAILED_DOCUMENT, JSON.stringify(failed));
  const judged = await parts.requests.update(request.id, (record) =>
    advanceCommitmentRequest(record, { type: 'judged', failedCount: failed.length }, parts.clock.now()),
  );
  return { request: judged, waitsFor };
}

/** What is to be reported of a judged request. */
export async function readResult(parts: CommitmentParts, id: EnvelopeId): Promise<CommitmentResult> {
  const failed = await readDocument<FailedReference>(parts, id, FAILED_DOCUMENT);
  const isFailed = new Set(failed.map(nameOf));
  const references = await readReferences(parts, id);
  return { committed: references.filter((each) => !isFailed.has(nameOf(each))), failed };
}

function readReferences(parts: CommitmentParts, id: EnvelopeId): Promise<readonly InstanceReference[]> {
  return readDocument<InstanceReference>(parts, id, REFERENCES_DOCUMENT);
}

async function readDocument<T>(parts: CommitmentParts, id: EnvelopeId, name: string): Promise<readonly T[]> {
  const bytes = await parts.requests.readDocument(id, name);
  if (bytes === undefined) throw new GatewayError('FAULT', `${name} of a commitment request is missing`);
  return JSON.parse(bytes.toString('utf8')) as readonly T[];
}

function nameOf({ sopClassUid, sopInstanceUid }: InstanceReference): string {
  return `${sopInstanceUid} ${sopClassUid}`;
}

function hashOf(references: readonly InstanceReference[]): string {
  const hash = createHash('sha256');
  for (const name of references.map(nameOf).sort()) hash.update(`${name}\n`);
  return hash.digest('hex');
}

/** A UUID made of a hash (RFC 9562 §5.8, version 8). */
function requestId(callingAe: string, transactionUid: string): EnvelopeId {
  const hex = createHash('sha256').update(`${callingAe}\n${transactionUid}`).digest('hex');
  return parseEnvelopeId(
    `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`,
  );
}

/**
 * What a modality asked of us by storage commitment, until it has our answer: asked → judged → reported, or given up
 * when it could not be told for days. The instances stand in documents beside the record.
 */
import type { EnvelopeId } from './envelope-id.js';
import type { LastError } from './parking.js';

export interface CommitmentRequest {
  /** Derived from the AE title and the transaction UID, so that the same request is the same record. */
  readonly id: EnvelopeId;
  readonly revision: number;
  readonly transactionUid: string;
  readonly callingAe: string;
  /** The AE title that it called us by; reports come from it. */
  readonly calledAe: string;
  readonly remoteAddress: string;
  readonly referenceCount: number;
  /** Of the references in order: tells the same request from another one under its transaction UID. */
  readonly referencesSha256: string;
  readonly askedAtMs: number;
  readonly progress: 'asked' | 'judged' | 'reported' | 'given-up';
  /** Instances that we do not commit to; present from `judged` on. */
  readonly failedCount?: number;
  readonly judgedAtMs?: number;
  /** When it was reported, or given up. */
  readonly endedAtMs?: number;
  /** Why the last attempt to report failed. */
  readonly lastError?: Omit<LastError, 'stage'>;
}

export type CommitmentRequestEvent =
  | { readonly type: 'judged'; readonly failedCount: number }
  | { readonly type: 'failed'; readonly error: NonNullable<CommitmentRequest['lastError']> }
  | { readonly type: 'reported' }
  | { readonly type: 'given-up' }
  /** The modality has asked for the very same again: it has no answer, or did not like it. */
  | { readonly type: 'asked-again' };

/** The record after an event; the very same record when the event comes too late. Pure. */
export function advanceCommitmentRequest(
  request: CommitmentRequest,
  event: CommitmentRequestEvent,
  atMs: number,
): CommitmentRequest {
  const { lastError: _lastError, ...rest } = request;
  switch (event.type) {
    case 'judged':
      return request.progress === 'asked'
        ? { ...rest, progress: 'judged', failedCount: event.failedCount, judgedAtMs: atMs }
        : request;
    case 'failed':
      return request.progress === 'judged' ? { ...request, lastError: event.error } : request;
    case 'reported':
      return request.progress === 'judged' ? { ...rest, progress: 'reported', endedAtMs: atMs } : request;
    case 'given-up':
      return request.progress === 'judged' ? { ...request, progress: 'given-up', endedAtMs: atMs } : request;
    case 'asked-again': {
      const { failedCount: _failed, judgedAtMs: _judged, endedAtMs: _ended, ...asked } = rest;
      return { ...asked, progress: 'asked', askedAtMs: atMs };
    }
  }
}

/** Nothing more is to come. */
export function isCommitmentEnded({ progress }: CommitmentRequest): boolean {
  return progress === 'reported' || progress === 'given-up';
}

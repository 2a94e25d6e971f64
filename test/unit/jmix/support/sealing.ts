/** Keys, a request to seal, and an envelope in memory: what most tests of the envelope start from. */
import { generateKeyPairSync } from 'node:crypto';
import { Readable } from 'node:stream';
import { type EnvelopeId, parseEnvelopeId } from '../../../../src/domain/envelope-id.js';
import type { EnvelopeSource } from '../../../../src/jmix/envelope-folder.js';
import type { Entity } from '../../../../src/jmix/manifest.js';
import type { OpenRequest } from '../../../../src/jmix/open.js';
import {
  type PayloadFile,
  type SealedEnvelope,
  type SealRequest,
  sealEnvelope,
} from '../../../../src/jmix/seal.js';
import { inPieces, memorySink, memoryStaging, sealedSource } from './staging.js';

export const ENVELOPE_ID: EnvelopeId = parseEnvelopeId('0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b01');
export const CREATED_AT_MS = Date.parse('2026-11-21T08:15:30Z');
export const SENDER: Entity = { name: 'Clínica A', id: 'org:a', contact: 'a@example.org' };
export const RECEIVER: Entity = { name: 'Site B', id: 'org:b', contact: 'b@example.org' };

export const RECIPIENT = generateKeyPairSync('x25519');
export const SIGNER = generateKeyPairSync('ed25519');
export const STRANGER = generateKeyPairSync('ed25519');

export const LIMITS = { maxBytes: 64 * 1024 * 1024, maxEntries: 1000 };

/** A payload file that gives its bytes in pieces of `pieceSizes`. */
export function payloadFile(
  name: string,
  bytes: Buffer,
  pieceSizes: readonly number[] = [65536],
): PayloadFile {
  return { name, sizeBytes: bytes.length, open: () => inPieces(bytes, pieceSizes) as AsyncIterable<Buffer> };
}

/** A request with one small file; `overrides` replace. */
export function sealRequest(overrides: Partial<SealRequest> = {}): SealRequest {
  return {
    id: ENVELOPE_ID,
    createdAtMs: CREATED_AT_MS,
    sender: SENDER,
    recipients: [{ entity: RECEIVER, key: RECIPIENT.publicKey }],
    metadata: { patient: { id: 'TEST-1' } },
    files: [payloadFile('dicom/1.2.3.dcm', Buffer.from('not really DICOM'))],
    signingKey: SIGNER.privateKey,
    payloadSink: memorySink().sink,
    ...overrides,
  };
}

export interface SealedInMemory {
  readonly sealed: SealedEnvelope;
  readonly payload: Buffer;
  readonly source: EnvelopeSource;
}

export async function sealInMemory(overrides: Partial<SealRequest> = {}): Promise<SealedInMemory> {
  const { sink, bytes } = memorySink();
  const sealed = await sealEnvelope(sealRequest({ ...overrides, payloadSink: sink }));
  const { manifest, jws, audit } = sealed;
  const empty = { kind: 'plain', files: [], folders: [] } as const;
  return {
    sealed,
    payload: bytes(),
    source: sealedSource({ manifest, jws, audit, payload: empty }, bytes()),
  };
}

/** A request that opens what `sealInMemory` made; `overrides` replace. */
export function openRequest(source: EnvelopeSource, overrides: Partial<OpenRequest> = {}): OpenRequest {
  return {
    source,
    recipientKeys: [RECIPIENT.privateKey],
    trust: { kind: 'pinned', keys: [SIGNER.publicKey] },
    nowMs: CREATED_AT_MS,
    limits: LIMITS,
    stage: memoryStaging().stage,
    ...overrides,
  };
}

/** The code of the GatewayError that `promise` ends with; undefined when it succeeds. */
export async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

/** A stream of these bytes, in one piece. */
export function streamOf(bytes: Buffer): Readable {
  return Readable.from([bytes], { objectMode: false });
}

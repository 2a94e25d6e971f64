/** A plain envelope, written as its archive, and read back from a folder. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unpackEnvelopeArchive } from '../../../../src/jmix/envelope-archive.js';
import { type EnvelopeSource, openEnvelopeFolder } from '../../../../src/jmix/envelope-folder.js';
import {
  type PlainEnvelope,
  type PlainEnvelopeRequest,
  plainEnvelope,
} from '../../../../src/jmix/plain-envelope.js';
import { LIMITS, RECEIVER, sealRequest, streamOf } from './sealing.js';
import { memorySink } from './staging.js';

/** A request with one small file; `overrides` replace. */
export function plainRequest(overrides: Partial<PlainEnvelopeRequest> = {}): PlainEnvelopeRequest {
  const { recipients: _recipients, payloadSink: _sink, ...contents } = sealRequest();
  return { ...contents, receivers: [RECEIVER], archiveSink: memorySink().sink, ...overrides };
}

export interface PlainOnDisk {
  readonly envelope: PlainEnvelope;
  readonly archive: Buffer;
  readonly source: EnvelopeSource;
  remove(): Promise<void>;
}

export async function plainOnDisk(overrides: Partial<PlainEnvelopeRequest> = {}): Promise<PlainOnDisk> {
  const { sink, bytes } = memorySink();
  const envelope = await plainEnvelope(plainRequest({ ...overrides, archiveSink: sink }));
  const folder = await mkdtemp(join(tmpdir(), 'jmix-plain-'));
  await unpackEnvelopeArchive(streamOf(bytes()), 'application/x-tar', folder, LIMITS);
  const source = await openEnvelopeFolder(folder);
  return { envelope, archive: bytes(), source, remove: () => rm(folder, { recursive: true }) };
}

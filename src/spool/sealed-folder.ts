/**
 * What a sealed envelope that lies in `sealed/` says of itself. Whoever finds one takes it as it is: it came into being
 * whole, and never changes.
 */
import type { EnvelopeId } from '../domain/envelope-id.js';
import { openEnvelopeFolder } from '../jmix/envelope-folder.js';
import { AUDIT_FILE, MANIFEST_FILE, MANIFEST_JWS } from '../jmix/envelope-names.js';
import { readManifest } from '../jmix/manifest.js';
import { syncFolder } from './atomic.js';
import { folderExists } from './envelope-store.js';
import type { Layout } from './layout.js';

export interface SealedFolder {
  /** Of the payload. */
  readonly sizeBytes: number;
  readonly manifestSha256: string;
  readonly receiverIds: readonly string[];
  /** When its assertion expires; absent: never. */
  readonly expiresAtMs?: number;
  /** What proves it later, when its payload is gone: manifest, signature, audit trail, by file name. */
  readonly documents: ReadonlyMap<string, Buffer>;
}

/** @returns undefined when there is none under this id */
export async function readSealedFolder(layout: Layout, id: EnvelopeId): Promise<SealedFolder | undefined> {
  const folder = layout.sealedEnvelope(id);
  if (!(await folderExists(folder))) return undefined;
  // Whoever gave it its name may have died before that was durable.
  await syncFolder(layout.sealed);
  const source = await openEnvelopeFolder(folder, { inSpool: true });
  const manifest = readManifest(source.manifest);
  const expiresAt = manifest.sender.assertion?.['expires_at'];
  const documents = [
    [MANIFEST_FILE, source.manifest],
    [MANIFEST_JWS, source.jws],
    [AUDIT_FILE, source.audit],
  ] as const;
  return {
    sizeBytes: source.payload.kind === 'sealed' ? source.payload.sizeBytes : 0,
    manifestSha256: manifest.sha256,
    receiverIds: manifest.receivers.map((receiver) => receiver.id),
    ...(typeof expiresAt === 'string' ? { expiresAtMs: Date.parse(expiresAt) } : {}),
    documents: new Map(documents.flatMap(([name, bytes]) => (bytes === undefined ? [] : [[name, bytes]]))),
  };
}

/**
 * The uploads of one peer, in a folder of its own: no request of another peer ever comes near them. The library's tus
 * server knows the protocol (tus.io 1.0.0: core, creation, termination); here is what becomes of an upload that is
 * whole. Written down are the envelope's id and its manifest's hash, and nothing else that a sender tells.
 */
import { MemoryLocker, Server } from '@tus/server';
import { isEnvelopeId } from '../../domain/envelope-id.js';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { classifyDiskError, makeFolder } from '../../spool/atomic.js';
import {
  bringsManifest,
  formatUploadName,
  isManifestSha256,
  parseUploadName,
} from '../../transport/https/resumable-name.js';
import type { PeerApi } from '../ports.js';
import { UploadStore } from './upload-store.js';

/** Where the router is mounted; in the Location of a new upload. */
export const UPLOADS_PATH = '/api/jmix/uploads';

export interface PeerUploadsOptions {
  /** Made when it is not there. */
  readonly folder: string;
  readonly peerId: string;
  /** The largest archive that is taken, in bytes. */
  readonly maxBytes: number;
  readonly api: Pick<PeerApi, 'admission' | 'receive' | 'probe'>;
}

/** What the protocol says to one request, or why it was refused. */
export type TusAnswer =
  | { readonly kind: 'answered'; readonly response: Response }
  | { readonly kind: 'failed'; readonly reason: unknown };

export interface PeerUploads {
  handle(request: Request): Promise<TusAnswer>;
  /**
   * Takes over an upload that is whole; harmless when that was done before, and done once for all who ask meanwhile.
   * It is not stopped when they go away: all bytes are here. An envelope that will never be accepted loses its upload.
   * @throws what `admission` and `receive` give
   */
  finish(name: string): Promise<void>;
}

/** @throws SPOOL_WRITE_FAILED when the folder cannot be made */
export async function openPeerUploads(options: PeerUploadsOptions): Promise<PeerUploads> {
  const { folder, peerId, api } = options;
  const finishing = new Map<string, Promise<void>>();
  const failures = new WeakMap<object, unknown>();

  const isHeld = async (text: string): Promise<boolean> => {
    const name = parseUploadName(text);
    if (name === undefined) return false;
    const held = await api.probe(peerId, name.envelopeId);
    return held !== undefined && bringsManifest(name, held.manifestSha256);
  };

  await makeFolder(folder).catch((error: unknown) => {
    throw classifyDiskError(error);
  });
  const store = new UploadStore(folder, isHeld);

  const takeOver = async (name: string): Promise<void> => {
    if (!(await isHeld(name))) {
      const refusal = api.admission();
      if (refusal !== undefined) throw refusal;
      const body = store.read(name);
      try {
        const { signal } = new AbortController();
        await api.receive({ peerId, body, mediaType: 'application/x-tar', signal });
      } catch (error) {
        if (isGatewayError(error) && error.kind === 'permanent') await store.discard(name);
        throw error;
      } finally {
        body.destroy();
      }
    }
    await store.releaseBytes(name);
  };

  const finish = (name: string): Promise<void> => {
    const running = finishing.get(name);
    if (running !== undefined) return running;
    const work = takeOver(name).finally(() => finishing.delete(name));
    finishing.set(name, work);
    return work;
  };

  const server = new Server({
    path: UPLOADS_PATH,
    datastore: store,
    locker: new MemoryLocker(),
    maxSize: options.maxBytes,
    relativeLocation: true,
    namingFunction: (_request, metadata) => nameOf(metadata),
    onUploadCreate: async (_request, { metadata }) => ({ metadata: announced(metadata) }),
    onUploadFinish: async (_request, { id }) => {
      await finish(id);
      return {};
    },
    onResponseError: (request, error) => {
      failures.set(request, error);
      return { status_code: 500, body: '' };
    },
  });

  return {
    finish,
    async handle(request) {
      const response = await server.handleWeb(request);
      return failures.has(request)
        ? { kind: 'failed', reason: failures.get(request) }
        : { kind: 'answered', response };
    },
  };
}

type UploadMetadata = Readonly<Record<string, string | null>> | undefined;

/** @throws REQUEST_INVALID */
function nameOf(metadata: UploadMetadata): string {
  const id = metadata?.['envelope_id'];
  const manifestSha256 = metadata?.['manifest_sha256'];
  if (!isEnvelopeId(id) || !isManifestSha256(manifestSha256)) {
    throw new GatewayError(
      'REQUEST_INVALID',
      'expected Upload-Metadata with envelope_id, a UUID, and manifest_sha256, 64 hex digits, in lower case',
    );
  }
  return formatUploadName(id, manifestSha256);
}

/** Of the metadata, what the name was made of. */
function announced(metadata: UploadMetadata): Record<string, string | null> {
  const { envelope_id = null, manifest_sha256 = null } = metadata ?? {};
  return { envelope_id, manifest_sha256 };
}

/**
 * Opens a payload that is not sealed into staging, in path order, so that both tree hashes come out of one pass. What
 * vouches for such a payload is `payload_hash`, and only as far as a signature binds it.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { CANON, JS, type PayloadHashRule } from './dialect.js';
import { createNameRegister, type NameRegister } from './entry-name.js';
import type { PlainPayload } from './envelope-folder.js';
import type { OpenedPayload } from './open-sealed.js';
import { createTreeConcatHash, inPathOrder, treeLinesHash } from './payload-hash.js';
import { createPayloadStaging, type PayloadStaging, type StagingTarget } from './payload-staging.js';

export interface PlainOpening extends StagingTarget {
  readonly payload: PlainPayload;
  /** 64 digits of lower hex; undefined when the manifest names none. */
  readonly payloadHash: string | undefined;
  readonly keys: 'specification' | 'js';
  readonly onProgress?: (bytes: number) => void;
}

/** @throws ENVELOPE_TOO_LARGE, ARCHIVE_UNSAFE, PAYLOAD_HASH_MISMATCH */
export async function openPlainPayload(opening: PlainOpening): Promise<OpenedPayload> {
  const { payload, limits } = opening;
  assertWithinLimits(payload, limits);
  const names = createNameRegister();
  const staging = createPayloadStaging(opening);
  for (const folder of payload.folders) {
    names.addFolder(folder);
    staging.addFolder(folder);
  }
  let treeConcat: string;
  try {
    treeConcat = await stageFiles(opening, staging, names);
  } finally {
    // Also before a throw: the caller clears the staging next, and nothing may still be on its way there.
    await staging.settle();
  }
  if (opening.payloadHash === undefined) return { staging, payloadHashRule: undefined };
  const rules: readonly (readonly [PayloadHashRule, string])[] = [
    ['tree-lines', treeLinesHash(staging.files, staging.folders)],
    ['tree-concat', treeConcat],
  ];
  const matching = rules.find(([, hex]) => hex === opening.payloadHash);
  if (matching === undefined) {
    throw new GatewayError('PAYLOAD_HASH_MISMATCH', 'the payload is not the one that the manifest names');
  }
  return { staging, payloadHashRule: matching[0] };
}

function assertWithinLimits(payload: PlainPayload, limits: StagingTarget['limits']): void {
  const entries = payload.files.length + payload.folders.length;
  const bytes = payload.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  if (entries > limits.maxEntries) {
    throw new GatewayError(
      'ENVELOPE_TOO_LARGE',
      `the payload has ${entries} entries, at most ${limits.maxEntries}`,
    );
  }
  if (bytes > limits.maxBytes) {
    throw new GatewayError(
      'ENVELOPE_TOO_LARGE',
      `the payload is ${bytes} bytes, at most ${limits.maxBytes} bytes`,
    );
  }
}

/** @returns the `tree-concat` hash, 64 digits of lower hex */
async function stageFiles(
  opening: PlainOpening,
  staging: PayloadStaging,
  names: NameRegister,
): Promise<string> {
  const treeConcat = createTreeConcatHash();
  let read = 0;
  const order = opening.keys === 'js' ? JS.pathOrder : CANON.pathOrder;
  for (const file of inPathOrder(opening.payload.files, (item) => item.name, order)) {
    names.addFile(file.name);
    treeConcat.begin(file.name);
    let fileBytes = 0;
    const body = async function* (): AsyncGenerator<Buffer, void, undefined> {
      for await (const chunk of file.open() as AsyncIterable<Buffer>) {
        treeConcat.update(chunk);
        fileBytes += chunk.length;
        read += chunk.length;
        yield chunk;
        opening.onProgress?.(read);
      }
    };
    await staging.addFile(file.name, file.sizeBytes, body());
    if (fileBytes !== file.sizeBytes) {
      throw new GatewayError(
        'ENVELOPE_MALFORMED',
        `a payload file is ${fileBytes} bytes, was ${file.sizeBytes} bytes`,
      );
    }
  }
  return treeConcat.finish();
}

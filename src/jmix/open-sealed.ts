/**
 * Opens a sealed payload into staging: one pass takes the hash of the ciphertext, decrypts, reads the tar, and stages
 * its files; then tag and `payload_hash` decide whether any of it was true. Two of the hash definitions in the field
 * need the plaintext again; they are tried only when the specification's does not fit.
 */
import { createHash, type Hash, type KeyObject } from 'node:crypto';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { type CandidateKey, findPayloadKey } from './candidate-key.js';
import type { WrappedContentKey } from './content-key.js';
import { decryptBeside } from './decrypt-payload.js';
import { JS, type PayloadHashRule, RS } from './dialect.js';
import type { EncryptionParameters } from './encryption-parameters.js';
import type { SealedPayload } from './envelope-folder.js';
import { decryptPayload, decryptRange, GCM_MAX_BYTES } from './payload-cipher.js';
import { createTreeConcatHash, inPathOrder } from './payload-hash.js';
import {
  copiesBodies,
  createPayloadStaging,
  type PayloadStaging,
  type StagingTarget,
} from './payload-staging.js';
import { HAS_SECOND_PROCESSOR } from './payload-thread.js';
import { readTar } from './tar-reader.js';

export interface SealedOpening extends StagingTarget {
  readonly payload: SealedPayload;
  readonly parameters: EncryptionParameters;
  /** For several receivers, from the manifest. */
  readonly contentKey?: WrappedContentKey;
  readonly recipientKeys: readonly KeyObject[];
  /** 64 digits of lower hex; undefined when the manifest names none. */
  readonly payloadHash: string | undefined;
  readonly onProgress?: (bytes: number) => void;
}

export interface OpenedPayload {
  readonly staging: PayloadStaging;
  /** Undefined when there was no hash to hold against. */
  readonly payloadHashRule: PayloadHashRule | undefined;
  /** Whose key fitted; of sealed payloads only. */
  readonly hkdfInfo?: string;
}

/** A file's place in the plaintext tar. */
interface TarRange {
  readonly name: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** jmix-js puts everything under this; no payload has a file or folder of that name itself. */
const TAR_ROOT = JS.tarRoot.slice(0, -1);

/** What the tar reader and the staging refuse; on bytes whose tag does not verify, it means nothing. */
const ARCHIVE_CODES: readonly string[] = ['ENVELOPE_MALFORMED', 'ARCHIVE_UNSAFE', 'ENVELOPE_TOO_LARGE'];

/**
 * @throws PAYLOAD_DECRYPT_FAILED, then ENVELOPE_MALFORMED, ARCHIVE_UNSAFE, ENVELOPE_TOO_LARGE about the tar, then
 *   PAYLOAD_HASH_MISMATCH: a later one is only ever said of what passed the earlier
 */
export async function openSealedPayload(opening: SealedOpening): Promise<OpenedPayload> {
  const { payload, parameters } = opening;
  if (payload.sizeBytes > GCM_MAX_BYTES) {
    throw new GatewayError(
      'ENVELOPE_TOO_LARGE',
      `the sealed payload is ${payload.sizeBytes} bytes, one key seals at most ${GCM_MAX_BYTES} bytes`,
    );
  }
  const candidate = await findPayloadKey(payload, parameters, opening.recipientKeys, opening.contentKey);
  const tarHash = candidate.hkdfInfo === RS.hkdfInfo ? createHash('sha256') : undefined;
  const staging = createPayloadStaging(opening);
  const { ranges, ciphertextSha256 } = await stageTar(opening, candidate, staging, tarHash);
  const digests = { ciphertext: ciphertextSha256, tar: tarHash?.digest('hex') };
  const payloadHashRule =
    opening.payloadHash === undefined
      ? undefined
      : await matchHash(opening, candidate, ranges, digests, opening.payloadHash);
  return { staging, payloadHashRule, hkdfInfo: candidate.hkdfInfo };
}

/** The one pass; returns when the tag has verified and the tar was whole and harmless. */
async function stageTar(
  opening: SealedOpening,
  candidate: CandidateKey,
  staging: PayloadStaging,
  tarHash: Hash | undefined,
): Promise<{ readonly ranges: readonly TarRange[]; readonly ciphertextSha256: string }> {
  const { payload } = opening;
  let read = 0;
  const ciphertext = async function* (take?: () => Promise<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of payload.open(undefined, take)) {
      opening.signal?.throwIfAborted();
      read += chunk.length;
      yield chunk;
      opening.onProgress?.(read);
    }
  };
  let ciphertextSha256 = '';
  const plaintext = decrypt(opening, candidate, ciphertext, (sha256) => {
    ciphertextSha256 = sha256;
  });
  const tar = tarHash === undefined ? plaintext : hashed(plaintext, tarHash);
  try {
    const ranges = await stageEntries(opening, tar, staging);
    await staging.settle();
    return { ranges, ciphertextSha256 };
  } catch (error) {
    // The caller clears the staging next: nothing may still be on its way there.
    await staging.abandon();
    if (isGatewayError(error) && ARCHIVE_CODES.includes(error.code)) await drain(tar);
    throw error;
  } finally {
    await plaintext.return();
  }
}

/** By another thread where the staging can do with what it gives. */
function decrypt(
  opening: SealedOpening,
  { key }: CandidateKey,
  ciphertext: (take?: () => Promise<Buffer>) => AsyncGenerator<Buffer, void, undefined>,
  noteHash: (sha256: string) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const { parameters } = opening;
  if (HAS_SECOND_PROCESSOR && copiesBodies(opening))
    return decryptBeside(ciphertext, key, parameters, noteHash);
  const hash = createHash('sha256');
  const hashedCiphertext = async function* (): AsyncGenerator<Buffer, void, undefined> {
    yield* hashed(ciphertext(), hash);
    noteHash(hash.digest('hex'));
  };
  return decryptPayload(hashedCiphertext(), key, parameters);
}

async function stageEntries(
  opening: SealedOpening,
  tar: AsyncGenerator<Buffer, void, undefined>,
  staging: PayloadStaging,
): Promise<readonly TarRange[]> {
  const ranges: TarRange[] = [];
  // The first entry decides whether everything lies under payload/; names outside it, or inside it otherwise, are not
  // names a payload may hold, and the staging refuses them.
  let isRooted: boolean | undefined;
  for await (const entry of readTar(tar, opening.limits, opening.payload.sizeBytes)) {
    isRooted ??= entry.name === TAR_ROOT || entry.name.startsWith(`${TAR_ROOT}/`);
    const name = isRooted ? withoutRoot(entry.name) : entry.name;
    if (entry.kind === 'folder') {
      if (name !== '') staging.addFolder(name);
      continue;
    }
    ranges.push({ name, offset: entry.offset, sizeBytes: entry.sizeBytes });
    await staging.addFile(name, entry.sizeBytes, entry.body());
  }
  return ranges;
}

function withoutRoot(name: string): string {
  if (name === TAR_ROOT) return '';
  if (name.startsWith(`${TAR_ROOT}/`)) return name.slice(TAR_ROOT.length + 1);
  throw new GatewayError('ARCHIVE_UNSAFE', 'the payload is not extracted: one entry lies beside payload/');
}

/** Reads to the end for the tag alone. @throws PAYLOAD_DECRYPT_FAILED */
async function drain(source: AsyncGenerator<Buffer, void, undefined>): Promise<void> {
  while (!(await source.next()).done);
}

/** The first definition that gives `expected`. @throws PAYLOAD_HASH_MISMATCH when none does */
async function matchHash(
  opening: SealedOpening,
  candidate: CandidateKey,
  ranges: readonly TarRange[],
  digests: { readonly ciphertext: string; readonly tar: string | undefined },
  expected: string,
): Promise<PayloadHashRule> {
  if (digests.ciphertext === expected) return 'sha256-ciphertext';
  if ((digests.tar ?? (await hashTar(opening, candidate))) === expected) return 'sha256-tar';
  for (const order of ['bytes', 'utf16'] as const) {
    const sorted = inPathOrder(ranges, (range) => range.name, order);
    if ((await hashTree(opening, candidate, sorted)) === expected) return 'tree-concat';
  }
  throw new GatewayError(
    'PAYLOAD_HASH_MISMATCH',
    'the payload is authentic, but is not the one that the manifest names',
  );
}

async function hashTar(opening: SealedOpening, candidate: CandidateKey): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of decryptPayload(opening.payload.open(), candidate.key, opening.parameters))
    hash.update(chunk);
  return hash.digest('hex');
}

async function hashTree(
  opening: SealedOpening,
  candidate: CandidateKey,
  sorted: readonly TarRange[],
): Promise<string> {
  const hash = createTreeConcatHash();
  const openRange = (start: number, end: number) => opening.payload.open({ start, end });
  for (const range of sorted) {
    hash.begin(range.name);
    for await (const chunk of decryptRange(openRange, candidate.key, opening.parameters.iv, range))
      hash.update(chunk);
  }
  return hash.finish();
}

async function* hashed(source: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
}

/**
 * Seals a payload to its recipients (JMIX envelope and security), in any dialect of dialect.ts: one streaming pass over
 * the files makes the tar, encrypts it, and takes every hash; then the content key is wrapped where there are several
 * recipients, and the manifest is made, asserted and signed. Always a new ephemeral key and IV, so a seal is never
 * resumed, only repeated. Writes to the caller's sink only.
 */
import { randomBytes } from 'node:crypto';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../errors/gateway-error.js';
import { inBlocks } from './blocks.js';
import { classifyEnvelopeError } from './classify.js';
import { wrapContentKey } from './content-key.js';
import { DIALECT_OF, type Dialect, type DialectName } from './dialect.js';
import { formatPayloadHash } from './digest.js';
import { type EncryptionParameters, IV_BYTES } from './encryption-parameters.js';
import { agreeSealingKey } from './key-agreement.js';
import { formatMetadata } from './metadata.js';
import { createEncryptor, GCM_MAX_BYTES } from './payload-cipher.js';
import { assertPayloadFiles, type PayloadFile, payloadContents } from './payload-files.js';
import { createSealingHash, type SealingHash } from './payload-hash.js';
import { type PayloadTarFile, payloadTarSize, writePayloadTar } from './payload-tar.js';
import { destroyed } from './pipe-into.js';
import { firstRecipient, type Recipient } from './recipients.js';
import {
  assertManifest,
  type EnvelopeContents,
  type SignedEnvelope,
  signedManifest,
} from './signed-manifest.js';

export type { PayloadFile } from './payload-files.js';
export type { Recipient } from './recipients.js';

export interface SealRequest extends EnvelopeContents {
  /** At least one; the first is served by the plain JMIX block. Only the `canon` dialect takes more, up to 64. */
  readonly recipients: readonly Recipient[];
  readonly files: readonly PayloadFile[];
  /** `canon` by default. */
  readonly dialect?: DialectName;
  /** Takes the sealed file, which its dialect names; is ended on success, destroyed on failure. */
  readonly payloadSink: Writable;
  readonly signal?: AbortSignal;
  /** Called with the bytes sealed so far. */
  readonly onProgress?: (bytes: number) => void;
}

export interface SealedEnvelope extends SignedEnvelope {
  readonly payloadSizeBytes: number;
}

/** Blocks that wait to be encrypted; one more is being read, and one encrypted. */
const READ_AHEAD_PIECES = 8;

/**
 * @throws METADATA_INVALID, MANIFEST_INVALID when what the caller gave does not make valid documents, or the dialect does
 *   not take so many recipients; ENCRYPTION_PARAMETERS_INVALID when a recipient's key is of low order; ARCHIVE_UNSAFE on
 *   names a payload must not hold; ENVELOPE_TOO_LARGE beyond what AES-GCM may seal; SPOOL_CORRUPT when a file has
 *   another size than announced; SPOOL_WRITE_FAILED; CANCELLED on abort. On any of them the sink's bytes are worthless.
 */
export async function sealEnvelope(request: SealRequest): Promise<SealedEnvelope> {
  try {
    return await seal(request, DIALECT_OF[request.dialect ?? 'canon']);
  } catch (error) {
    await destroyed(request.payloadSink);
    throw classifyEnvelopeError(error, request.signal);
  }
}

async function seal(request: SealRequest, dialect: Dialect): Promise<SealedEnvelope> {
  const first = firstRecipient(request.recipients, dialect);
  const receivers = request.recipients.map(({ entity }) => entity);
  assertManifest(request, receivers, dialect);
  assertPayloadFiles(request.files, request.metadata);
  const metadata = formatMetadata(request.metadata, request.id, request.createdAtMs, dialect);
  const contents = payloadContents(request.files, metadata, dialect);
  const payloadSizeBytes = payloadTarSize(contents.files);
  if (payloadSizeBytes > GCM_MAX_BYTES) {
    throw new GatewayError(
      'ENVELOPE_TOO_LARGE',
      `the payload would be ${payloadSizeBytes} bytes, one key seals at most ${GCM_MAX_BYTES} bytes`,
    );
  }

  const { key, ephemeralPublicKey } = agreeSealingKey(first.key, dialect.hkdfInfo);
  const iv = randomBytes(IV_BYTES);
  const { authTag, payloadHash } = await encryptInto(request, contents.files, key, iv, dialect);
  const encryption = { ephemeralPublicKey, iv, authTag };
  const facts = {
    receivers,
    payloadHash,
    encryption,
    ...(request.recipients.length === 1 ? {} : { contentKey: await wrapFor(request, key, encryption) }),
  };
  return {
    ...signedManifest(request, facts, dialect),
    payloadSizeBytes,
    payloadHash,
    files: contents.listed(),
  };
}

/** The one pass over the files; ends the sink. */
async function encryptInto(
  { payloadSink, signal, onProgress }: SealRequest,
  files: readonly PayloadTarFile[],
  key: Buffer,
  iv: Buffer,
  dialect: Dialect,
): Promise<{ readonly authTag: Buffer; readonly payloadHash: string }> {
  const hasher = createSealingHash(dialect.sealedPayloadHash);
  const encryptor = createEncryptor(key, iv);
  let sealed = 0;
  const encrypt = async function* (tar: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    for await (const plain of tar) {
      hasher.updateTar(plain);
      const chunk = encryptor.encrypt(plain);
      hasher.updateCiphertext(chunk);
      sealed += chunk.length;
      yield chunk;
      onProgress?.(sealed);
    }
  };
  const watchedFiles = files.map((file) => watched(file, hasher));
  // The stream in front reads ahead, so that the next files are opened while these bytes are encrypted.
  const tar = Readable.from(inBlocks(writePayloadTar(watchedFiles, dialect.tarRoot), READ_AHEAD_PIECES + 2), {
    highWaterMark: READ_AHEAD_PIECES,
  });
  await pipeline(tar, encrypt, payloadSink, signal === undefined ? {} : { signal });
  return { authTag: encryptor.finish(), payloadHash: formatPayloadHash(hasher.finish()) };
}

/** The same file, whose bytes pass by the payload's hash. */
function watched(file: PayloadTarFile, hasher: SealingHash): PayloadTarFile {
  return {
    ...file,
    open: async function* () {
      hasher.beginFile(file.name);
      for await (const chunk of file.open()) {
        hasher.updateFile(chunk);
        yield chunk;
      }
    },
  };
}

function wrapFor({ recipients, id }: SealRequest, key: Buffer, encryption: EncryptionParameters) {
  const keys = recipients.map((recipient) => recipient.key);
  return wrapContentKey(key, keys, { id, encryption });
}

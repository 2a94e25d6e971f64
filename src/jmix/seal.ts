/**
 * Seals a payload to its recipients (JMIX envelope and security), in any dialect of dialect.ts: one streaming pass over
 * the files makes the tar, encrypts it, and takes every hash; then the content key is wrapped where there are several
 * recipients, and the manifest is made, asserted and signed. Always a new ephemeral key and IV, so a seal is never
 * resumed, only repeated. Writes to the caller's sink only.
 */
import { randomBytes } from 'node:crypto';
import type { Writable } from 'node:stream';
import { GatewayError } from '../errors/gateway-error.js';
import { classifyEnvelopeError } from './classify.js';
import { wrapContentKey } from './content-key.js';
import { DIALECT_OF, type Dialect, type DialectName, type SealedPayloadHashRule } from './dialect.js';
import { formatPayloadHash } from './digest.js';
import { encryptPayload, type Hashed } from './encrypt-payload.js';
import { type EncryptionParameters, IV_BYTES } from './encryption-parameters.js';
import { agreeSealingKey } from './key-agreement.js';
import { formatMetadata } from './metadata.js';
import { GCM_MAX_BYTES } from './payload-cipher.js';
import { assertPayloadFiles, type PayloadFile, payloadContents } from './payload-files.js';
import { createTreeConcatHash, type TreeConcatHash } from './payload-hash.js';
import { inPayloadOrder, type PayloadTarFile, payloadTarSize, writePayloadTar } from './payload-tar.js';
import { destroyed } from './pipe-into.js';
import { readAhead } from './read-ahead.js';
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
  /**
   * Takes the sealed file, which its dialect names; is ended on success, destroyed on failure. What it is given is
   * overwritten once it has called back that it was written: a sink that keeps it must copy it.
   */
  readonly payloadSink: Writable;
  readonly signal?: AbortSignal;
  /** Called with the bytes sealed so far. */
  readonly onProgress?: (bytes: number) => void;
}

export interface SealedEnvelope extends SignedEnvelope {
  readonly payloadSizeBytes: number;
}

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
  const ahead = readAhead(inPayloadOrder(request.files, dialect.pathOrder));
  const metadata = formatMetadata(request.metadata, request.id, request.createdAtMs, dialect);
  const contents = payloadContents(ahead.files, metadata, dialect);
  const payloadSizeBytes = payloadTarSize(contents.files);
  if (payloadSizeBytes > GCM_MAX_BYTES) {
    throw new GatewayError(
      'ENVELOPE_TOO_LARGE',
      `the payload would be ${payloadSizeBytes} bytes, one key seals at most ${GCM_MAX_BYTES} bytes`,
    );
  }

  const { key, ephemeralPublicKey } = agreeSealingKey(first.key, dialect.hkdfInfo);
  const iv = randomBytes(IV_BYTES);
  const { authTag, payloadHash } = await encryptInto(request, contents.files, key, iv, dialect).finally(() =>
    ahead.end(),
  );
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
  { payloadSink: sink, signal, onProgress }: SealRequest,
  files: readonly PayloadTarFile[],
  key: Buffer,
  iv: Buffer,
  { sealedPayloadHash, tarRoot }: Dialect,
): Promise<{ readonly authTag: Buffer; readonly payloadHash: string }> {
  const tree = sealedPayloadHash === 'tree-concat' ? createTreeConcatHash() : undefined;
  const watchedFiles = tree === undefined ? files : files.map((file) => watched(file, tree));
  const { authTag, sha256 } = await encryptPayload({
    tar: writePayloadTar(watchedFiles, tarRoot),
    key,
    iv,
    hashed: HASHED_BY[sealedPayloadHash],
    sink,
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  return { authTag, payloadHash: formatPayloadHash(tree?.finish() ?? sha256) };
}

/** What a payload's hash takes of the stream; `tree-concat` needs the files. */
const HASHED_BY: Readonly<Record<SealedPayloadHashRule, Hashed>> = {
  'sha256-ciphertext': 'ciphertext',
  'sha256-tar': 'tar',
  'tree-concat': 'nothing',
};

/** The same file, whose bytes pass by the payload's hash. */
function watched(file: PayloadTarFile, tree: TreeConcatHash): PayloadTarFile {
  return {
    ...file,
    open: async function* () {
      tree.begin(file.name);
      for await (const chunk of file.open()) {
        tree.update(chunk);
        yield chunk;
      }
    },
  };
}

function wrapFor({ recipients, id }: SealRequest, key: Buffer, encryption: EncryptionParameters) {
  const keys = recipients.map((recipient) => recipient.key);
  return wrapContentKey(key, keys, { id, encryption });
}

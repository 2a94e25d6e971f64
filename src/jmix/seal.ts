/**
 * Seals a payload to one recipient (JMIX envelope and security), in any dialect of dialect.ts: one streaming pass over
 * the files makes the tar, encrypts it, and takes every hash; then the manifest is made, asserted and signed.
 * Always a new ephemeral key and IV, so a seal is never resumed, only repeated. Writes to the caller's sink only.
 */
import { createHash, type KeyObject, randomBytes } from 'node:crypto';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { signAssertion } from './assertion.js';
import { createdEntry, formatAuditTrail } from './audit-trail.js';
import { classifyEnvelopeError } from './classify.js';
import { DIALECT_OF, type Dialect, type DialectName } from './dialect.js';
import { formatPayloadHash } from './digest.js';
import { type EncryptionParameters, IV_BYTES } from './encryption-parameters.js';
import { createNameRegister } from './entry-name.js';
import { MANIFEST_JWS } from './envelope-names.js';
import { FILES_LIST, type FileEntry, filesListSize, formatFilesList } from './files-list.js';
import { gathered } from './gathered.js';
import { agreeSealingKey, type SealingKey } from './key-agreement.js';
import { buildManifest, type Classification, type Entity, formatManifest } from './manifest.js';
import { signCompactJws } from './manifest-jws.js';
import { formatMetadata, type JmixMetadata, METADATA_FILE } from './metadata.js';
import { createEncryptor, GCM_MAX_BYTES } from './payload-cipher.js';
import { createSealingHash, type SealingHash } from './payload-hash.js';
import {
  assertSealableName,
  inPayloadOrder,
  type PayloadTarFile,
  payloadTarSize,
  writePayloadTar,
} from './payload-tar.js';
import { destroyed } from './pipe-into.js';
import { keyFingerprint } from './raw-keys.js';
import { type JsonObject, parseStrictObject } from './strict-json.js';

export interface PayloadFile {
  /** Payload-relative, e.g. `dicom/1.2.3.dcm`. */
  readonly name: string;
  readonly sizeBytes: number;
  /** The bytes, from the start; called once. */
  open(): AsyncIterable<Buffer>;
}

export interface SealRequest {
  readonly id: EnvelopeId;
  readonly createdAtMs: number;
  readonly sender: Entity;
  /** At least one; the first is in the signed fields. */
  readonly receivers: readonly Entity[];
  readonly requester?: Entity;
  /** `confidential` by default. */
  readonly classification?: Classification;
  /** `manifest.extensions`: readable by everyone on the way, so nothing about a patient. */
  readonly extensions?: Readonly<Record<string, unknown>>;
  readonly metadata: JmixMetadata;
  readonly files: readonly PayloadFile[];
  /** X25519. */
  readonly recipientKey: KeyObject;
  /** Ed25519, private. */
  readonly signingKey: KeyObject;
  /** `canon` by default. */
  readonly dialect?: DialectName;
  /** Takes the sealed file, which its dialect names; is ended on success, destroyed on failure. */
  readonly payloadSink: Writable;
  readonly signal?: AbortSignal;
  /** Called with the bytes sealed so far. */
  readonly onProgress?: (bytes: number) => void;
  /** Stands in the assertion; dialects that have none cannot say it. */
  readonly assertionExpiresAtMs?: number;
}

export interface SealedEnvelope {
  /** The final bytes of manifest.json. */
  readonly manifest: Buffer;
  /** manifest.jws over exactly these bytes. */
  readonly jws: Buffer;
  readonly audit: Buffer;
  readonly payloadSizeBytes: number;
  /** As in the manifest, `sha256:` and hex. */
  readonly payloadHash: string;
  /** What files.json lists, or would: everything in the payload but files.json. */
  readonly files: readonly FileEntry[];
}

/** Of some 256 KiB each. */
const READ_AHEAD_PIECES = 8;

/**
 * @throws METADATA_INVALID, MANIFEST_INVALID when what the caller gave does not make valid documents; ARCHIVE_UNSAFE on
 *   names a payload must not hold; ENVELOPE_TOO_LARGE beyond what AES-GCM may seal; SPOOL_CORRUPT when a file has
 *   another size than announced; SPOOL_WRITE_FAILED; CANCELLED on abort. On any of them the sink's bytes are worthless.
 */
export async function sealEnvelope(request: SealRequest): Promise<SealedEnvelope> {
  try {
    const dialect = DIALECT_OF[request.dialect ?? 'canon'];
    const sealingKey = agreeSealingKey(request.recipientKey, dialect.hkdfInfo);
    return await sealWith(request, dialect, sealingKey, randomBytes(IV_BYTES));
  } catch (error) {
    await destroyed(request.payloadSink);
    throw classifyEnvelopeError(error, request.signal);
  }
}

async function sealWith(
  request: SealRequest,
  dialect: Dialect,
  sealingKey: SealingKey,
  iv: Buffer,
): Promise<SealedEnvelope> {
  const metadata = formatMetadata(request.metadata, request.id, request.createdAtMs, dialect);
  const created = createdEntry(request.sender, request.createdAtMs);
  const audit = formatAuditTrail([{ ...created, event: dialect.firstAuditEvent }]);
  const extensions = toJson(request.extensions);
  assertFiles(request);

  const hashes = new Map<string, string>();
  const payloadHasher = createSealingHash(dialect.sealedPayloadHash);
  const files = payloadFiles(request.files, metadata, hashes, dialect).map((file) =>
    watched(file, payloadHasher),
  );
  const payloadSizeBytes = payloadTarSize(files);
  if (payloadSizeBytes > GCM_MAX_BYTES) {
    throw new GatewayError(
      'ENVELOPE_TOO_LARGE',
      `the payload would be ${payloadSizeBytes} bytes, one key seals at most ${GCM_MAX_BYTES} bytes`,
    );
  }

  const encryptor = createEncryptor(sealingKey.key, iv);
  let sealed = 0;
  const encrypt = async function* (tar: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    for await (const plain of tar) {
      payloadHasher.updateTar(plain);
      const chunk = encryptor.encrypt(plain);
      payloadHasher.updateCiphertext(chunk);
      sealed += chunk.length;
      yield chunk;
      request.onProgress?.(sealed);
    }
  };
  // The stream in front reads ahead, so that the next files are opened while these bytes are encrypted.
  const tar = Readable.from(gathered(writePayloadTar(files, dialect.tarRoot)), {
    highWaterMark: READ_AHEAD_PIECES,
  });
  await pipeline(
    tar,
    encrypt,
    request.payloadSink,
    request.signal === undefined ? {} : { signal: request.signal },
  );

  const encryption: EncryptionParameters = {
    ephemeralPublicKey: sealingKey.ephemeralPublicKey,
    iv,
    authTag: encryptor.finish(),
  };
  const payloadHash = formatPayloadHash(payloadHasher.finish());
  const manifest = signedManifest(request, dialect, extensions, payloadHash, encryption);
  const jws = signCompactJws(manifest, request.signingKey, {
    ...dialect.jwsHeader,
    kid: keyFingerprint(request.signingKey),
  });
  return { manifest, jws, audit, payloadSizeBytes, payloadHash, files: listedEntries(files, hashes) };
}

/**
 * The payload in the tar's order, with files.json where the dialect has one; its bytes exist only in its turn, when
 * every hash is known.
 */
function payloadFiles(
  given: readonly PayloadFile[],
  metadata: Buffer,
  hashes: Map<string, string>,
  dialect: Dialect,
): readonly PayloadTarFile[] {
  const document = { name: METADATA_FILE, sizeBytes: metadata.length, open: () => oneChunk(metadata) };
  // metadata.json comes behind files.json, but its bytes are here already.
  hashes.set(METADATA_FILE, createHash('sha256').update(metadata).digest('hex'));
  const hashed = given.map((file) => ({ ...nameAndSize(file), open: () => hashing(file, hashes) }));
  const listed = inPayloadOrder([...hashed, document], dialect.pathOrder);
  if (dialect.filesListHash === 'none') return listed;
  const list: PayloadTarFile = {
    name: FILES_LIST,
    sizeBytes: filesListSize(
      listed.map(({ name, sizeBytes }) => ({ file: name, sizeBytes })),
      dialect,
    ),
    open: () => oneChunk(formatFilesList(listedEntries(listed, hashes), dialect)),
  };
  return inPayloadOrder([...listed, list], dialect.pathOrder);
}

function nameAndSize({ name, sizeBytes }: PayloadFile): { name: string; sizeBytes: number } {
  return { name, sizeBytes };
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

/** The file's bytes; its hash stands in `hashes` when they are through. */
async function* hashing(
  file: PayloadFile,
  hashes: Map<string, string>,
): AsyncGenerator<Buffer, void, undefined> {
  const hash = createHash('sha256');
  for await (const chunk of file.open()) {
    hash.update(chunk);
    yield chunk;
  }
  hashes.set(file.name, hash.digest('hex'));
}

function listedEntries(
  files: readonly { readonly name: string; readonly sizeBytes: number }[],
  hashes: ReadonlyMap<string, string>,
): readonly FileEntry[] {
  return files
    .filter((file) => file.name !== FILES_LIST)
    .map((file) => {
      const sha256 = hashes.get(file.name);
      if (sha256 === undefined)
        throw new GatewayError('FAULT', 'files.json came before a file that it lists');
      return { file: file.name, sha256, sizeBytes: file.sizeBytes };
    });
}

function signedManifest(
  request: SealRequest,
  dialect: Dialect,
  extensions: JsonObject | undefined,
  payloadHash: string,
  encryption: EncryptionParameters,
): Buffer {
  const draft = {
    id: request.id,
    createdAtMs: request.createdAtMs,
    sender: request.sender,
    receivers: request.receivers,
    ...(request.requester === undefined ? {} : { requester: request.requester }),
    classification: request.classification ?? 'confidential',
    payloadHash,
    encryption,
    jwsFile: MANIFEST_JWS,
    ...(extensions === undefined ? {} : { extensions }),
  };
  const document = buildManifest(draft, dialect.manifestKeys);
  const expiry =
    request.assertionExpiresAtMs === undefined ? {} : { expiresAtMs: request.assertionExpiresAtMs };
  const assertion =
    dialect.assertedFields.length === 0
      ? undefined
      : signAssertion(document, dialect.assertedFields, request.signingKey, expiry);
  return formatManifest(document, assertion, dialect);
}

/** Before a byte is read: names that are safe and differ, at least one receiver, a report that is there. */
function assertFiles(request: SealRequest): void {
  if (request.receivers.length === 0)
    throw new GatewayError('MANIFEST_INVALID', 'an envelope needs a receiver');
  const names = createNameRegister();
  for (const file of request.files) {
    assertSealableName(file.name);
    names.addFile(file.name);
  }
  const report = request.metadata.report?.file;
  if (report !== undefined && !request.files.some((file) => file.name === report)) {
    throw new GatewayError('METADATA_INVALID', 'metadata names a report that is not among the files');
  }
}

/** A caller's record as strict JSON: what cannot be written and read back alike is refused. */
function toJson(record: Readonly<Record<string, unknown>> | undefined): JsonObject | undefined {
  if (record === undefined) return undefined;
  return parseStrictObject(Buffer.from(JSON.stringify(record)), 'manifest extensions', 'MANIFEST_INVALID');
}

async function* oneChunk(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  yield bytes;
}

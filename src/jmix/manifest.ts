/**
 * manifest.json (JMIX manifest), both directions: the model, writing in the receiver's dialect, and reading with every
 * check that needs nothing but the bytes. What we write holds no personal data. Signatures are not checked here; the
 * deviations of foreign writers are understood in manifest-deviations.ts.
 */
import { formatTimestamp } from '../domain/clock.js';
import { type EnvelopeId, isEnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { parseWrappedContentKey, type WrappedContentKey } from './content-key.js';
import { CANON, type Dialect } from './dialect.js';
import { parseSha256, sha256Hex } from './digest.js';
import {
  type EncryptionParameters,
  formatEncryptionParameters,
  parseEncryptionParameters,
} from './encryption-parameters.js';
import { contentKeyOf } from './extensions.js';
import { toSpecificationShape } from './manifest-deviations.js';
import { assertSchema, readBySchema } from './published-schemas.js';
import { isJsonObject, type JsonObject, type JsonValue, parseStrictObject } from './strict-json.js';

export const JMIX_VERSION = '1.0';

/** An honest manifest is a few KiB. */
export const MANIFEST_MAX_BYTES = 1024 * 1024;

export type Classification = 'confidential' | 'sensitive' | 'de-identified';

/** An organisation as we write it: jmix-rs and jmix-php read only entities that have all three. */
export interface Entity {
  readonly name: string;
  readonly id: string;
  readonly contact: string;
}

export interface ContactPoint {
  readonly system: string;
  readonly value: string;
}

/** An organisation as it may come: only the id is sure. */
export interface ManifestEntity {
  readonly id: string;
  readonly name?: string;
  readonly contact?: string | ContactPoint;
  /** As it stands in JSON, valid against the schema; see assertion.ts. */
  readonly assertion?: JsonObject;
}

export interface Manifest {
  readonly version: string;
  readonly id: EnvelopeId;
  readonly timestampMs: number;
  readonly sender: ManifestEntity;
  readonly requester?: ManifestEntity;
  /** Empty only from writers that break the schema here. */
  readonly receivers: readonly ManifestEntity[];
  readonly classification?: Classification;
  /** 64 digits of lower hex; absent when the manifest names none or a placeholder. */
  readonly payloadHash?: string;
  /** Present when the payload is sealed. */
  readonly encryption?: EncryptionParameters;
  /** The content key for every receiver, when there are several. */
  readonly contentKey?: WrappedContentKey;
  readonly jwsFile?: string;
  readonly extensions: JsonObject;
  /** SHA-256 over the bytes of manifest.json, lower hex: the identity of the envelope beyond its id. */
  readonly sha256: string;
  readonly keys: Dialect['manifestKeys'];
  /** Blanks in front of the first member; 0 when written on one line. */
  readonly indent: number;
  /** How the writer breaks the schema, each a short fixed phrase; empty when the manifest conforms. */
  readonly deviations: readonly string[];
  /** Members that the schema does not know, as unknown-members.ts names them; signed with all others, and ignored. */
  readonly unknownMembers: readonly string[];
  /** What the signatures are over: the document as it came. That of jmix-js names the patient: never to be logged. */
  readonly document: JsonObject;
}

export interface ManifestDraft {
  readonly id: EnvelopeId;
  readonly createdAtMs: number;
  readonly sender: Entity;
  readonly receivers: readonly Entity[];
  readonly requester?: Entity;
  readonly classification: Classification;
  readonly payloadHash: string;
  /** Of sealed payloads. */
  readonly encryption?: EncryptionParameters;
  readonly jwsFile: string;
  readonly extensions?: JsonObject;
}

/** What four members are called; the others have one name. */
const MEMBER_NAMES = {
  specification: { version: 'version', id: 'id', timestamp: 'timestamp', receiver: 'receiver' },
  js: { version: 'jmix_version', id: 'envelope_id', timestamp: 'created_at', receiver: 'receivers' },
} as const satisfies Record<Dialect['manifestKeys'], unknown>;

/** The manifest as a document, complete but for the sender assertion, which is made over it. */
export function buildManifest(
  draft: ManifestDraft,
  keys: Dialect['manifestKeys'] = CANON.manifestKeys,
): JsonObject {
  const names = MEMBER_NAMES[keys];
  return {
    [names.version]: JMIX_VERSION,
    [names.id]: draft.id,
    [names.timestamp]: formatTimestamp(draft.createdAtMs),
    sender: formatEntity(draft.sender),
    ...(draft.requester === undefined ? {} : { requester: formatEntity(draft.requester) }),
    [names.receiver]: draft.receivers.map(formatEntity),
    security: {
      classification: draft.classification,
      payload_hash: draft.payloadHash,
      ...(draft.encryption === undefined ? {} : { encryption: formatEncryptionParameters(draft.encryption) }),
      jws: { jws_file: draft.jwsFile },
    },
    ...(draft.extensions === undefined ? {} : { extensions: draft.extensions }),
  };
}

/**
 * The final bytes of manifest.json; `assertion` becomes the sender's.
 * @throws MANIFEST_INVALID when the result does not conform to the published schema; with the member names of jmix-js,
 *   when it would not with the specification's; or when it is longer than MANIFEST_MAX_BYTES
 */
export function formatManifest(
  document: JsonObject,
  assertion: JsonObject | undefined,
  form: Pick<Dialect, 'manifestKeys' | 'manifestIndent'> = CANON,
): Buffer {
  const sender = document['sender'];
  const signed =
    assertion === undefined || !isJsonObject(sender)
      ? document
      : { ...document, sender: { ...sender, assertion } };
  const shape = form.manifestKeys === 'js' ? toSpecificationShape(signed).shape : signed;
  assertSchema('manifest', shape, 'MANIFEST_INVALID');
  const bytes = Buffer.from(JSON.stringify(signed, null, form.manifestIndent));
  assertReadableSize(bytes);
  return bytes;
}

/**
 * Reads manifest.json, in whichever dialect: strict JSON, id, encryption parameters, schema.
 * @throws MANIFEST_INVALID, ENCRYPTION_PARAMETERS_INVALID
 */
export function readManifest(bytes: Buffer): Manifest {
  assertReadableSize(bytes);
  const document = parseStrictObject(bytes, 'manifest.json', 'MANIFEST_INVALID');
  const { shape, keys, deviations, receiversMissing } = toSpecificationShape(document);
  const id = typeof shape['id'] === 'string' ? shape['id'].toLowerCase() : undefined;
  if (!isEnvelopeId(id)) refuse('manifest id is not a UUID');
  const security = isJsonObject(shape['security']) ? shape['security'] : {};
  // In front of the schema, so that a foreign algorithm is named as what it is.
  const block = security['encryption'];
  const encryption = block === undefined ? undefined : parseEncryptionParameters(block);
  const unknownMembers = readBySchema('manifest', shape, 'MANIFEST_INVALID');
  const extensions = isJsonObject(shape['extensions']) ? shape['extensions'] : {};
  const receivers =
    receiversMissing || !Array.isArray(shape['receiver']) ? [] : shape['receiver'].map(parseEntity);
  return {
    version: String(shape['version']),
    id,
    timestampMs: Date.parse(String(shape['timestamp'])),
    sender: parseEntity(shape['sender']),
    ...(shape['requester'] === undefined ? {} : { requester: parseEntity(shape['requester']) }),
    receivers,
    ...optional('classification', security['classification'] as Classification | undefined),
    ...optional('payloadHash', parsePayloadHash(security['payload_hash'])),
    ...optional('encryption', encryption),
    ...optional('contentKey', contentKeyIn(extensions, id, encryption, receivers.length)),
    ...optional('jwsFile', jwsFileOf(security)),
    extensions,
    sha256: sha256Hex(bytes),
    keys,
    indent: /^\{\r?\n( *)"/.exec(bytes.toString('latin1', 0, 64))?.[1]?.length ?? 0,
    deviations,
    unknownMembers,
    document,
  };
}

function assertReadableSize(bytes: Buffer): void {
  if (bytes.length <= MANIFEST_MAX_BYTES) return;
  refuse(`manifest.json is ${bytes.length} bytes, at most ${MANIFEST_MAX_BYTES} bytes are read`);
}

function contentKeyIn(
  extensions: JsonObject,
  id: EnvelopeId,
  encryption: EncryptionParameters | undefined,
  receivers: number,
): WrappedContentKey | undefined {
  const value = contentKeyOf(extensions);
  if (value === undefined) return undefined;
  if (encryption !== undefined) return parseWrappedContentKey(value, { id, encryption }, receivers);
  throw new GatewayError(
    'ENCRYPTION_PARAMETERS_INVALID',
    'the manifest has a content key, but no encryption block',
  );
}

function formatEntity(entity: Entity): JsonObject {
  return { name: entity.name, id: entity.id, contact: entity.contact };
}

/** From a value that conforms to the schema. */
function parseEntity(value: JsonValue | undefined): ManifestEntity {
  const entity = isJsonObject(value) ? value : {};
  const contact = entity['contact'];
  const assertion = entity['assertion'];
  return {
    id: String(entity['id']),
    ...optional('name', typeof entity['name'] === 'string' ? entity['name'] : undefined),
    ...(isJsonObject(contact)
      ? { contact: { system: String(contact['system']), value: String(contact['value']) } }
      : optional('contact', typeof contact === 'string' ? contact : undefined)),
    ...optional('assertion', isJsonObject(assertion) ? assertion : undefined),
  };
}

function parsePayloadHash(value: JsonValue | undefined): string | undefined {
  if (value === undefined) return undefined;
  const hex = parseSha256(String(value));
  // The schema's pattern does not fix the number of digits.
  if (hex === undefined) refuse('payload_hash is not sha256: with 64 hexadecimal digits');
  return hex;
}

function jwsFileOf(security: JsonObject): string | undefined {
  const jws = security['jws'];
  return isJsonObject(jws) ? String(jws['jws_file']) : undefined;
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}

function refuse(message: string): never {
  throw new GatewayError('MANIFEST_INVALID', message);
}

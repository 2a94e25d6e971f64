/**
 * Opens an envelope into the caller's staging, in whatever dialect it is: manifest → signatures → age → decrypt to
 * staging → tag → tar → payload hash → metadata.json and files.json. Only a returned result makes the staging true; on
 * any throw the caller discards it. What the DICOM files hold is for the caller's `inspect` to say.
 */
import type { KeyObject } from 'node:crypto';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { classifyEnvelopeError } from './classify.js';
import { type DialectName, type PayloadHashRule, recogniseDialect } from './dialect.js';
import { type AgeLimits, assertAge } from './envelope-age.js';
import type { EnvelopeSource } from './envelope-folder.js';
import { MANIFEST_FILE } from './envelope-names.js';
import {
  assertFilesListHolds,
  FILES_LIST,
  type FileEntry,
  isComplete,
  type ParsedFilesList,
  parseFilesList,
} from './files-list.js';
import { type Manifest, readManifest } from './manifest.js';
import { HASH_SKIPPED } from './manifest-deviations.js';
import { METADATA_FILE, type ParsedMetadata, readMetadata } from './metadata.js';
import { openPlainPayload } from './open-plain.js';
import { type OpenedPayload, openSealedPayload } from './open-sealed.js';
import type { StagingTarget } from './payload-staging.js';
import { type SignatureChecks, type SignatureVerdict, type Trust, verifySignatures } from './signatures.js';

export type { PayloadLimits } from './payload-staging.js';

export interface OpenRequest extends StagingTarget {
  readonly source: EnvelopeSource;
  /** X25519, private: the present key and any that are still honoured. None is needed for plain payloads. */
  readonly recipientKeys: readonly KeyObject[];
  readonly trust: Trust;
  readonly nowMs: number;
  /** For what comes in; absent: of any age, as an archive that is opened after years. */
  readonly age?: AgeLimits;
  /** Called with the payload bytes read so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** Which form of each check fitted. */
export interface EnvelopeChecks extends SignatureChecks {
  readonly payloadHash: `ok:${PayloadHashRule}` | 'absent' | 'absent:skipped';
  readonly filesJson: 'ok' | 'absent';
  /** `nonconforming`: passed only as a known deviation of a known writer, or has members that the schemas do not know. */
  readonly schema: 'ok' | 'nonconforming';
}

export interface OpenedEnvelope {
  readonly id: EnvelopeId;
  readonly dialect: DialectName;
  readonly manifest: Manifest;
  /** Of a patient: not for logs. */
  readonly metadata: ParsedMetadata;
  /** Everything staged, in the order in which it came. */
  readonly files: readonly FileEntry[];
  readonly checks: EnvelopeChecks;
  /** Members that the schemas do not know, as `manifest.json: sender.nickname`; kept in the documents, and ignored. */
  readonly unknownMembers: readonly string[];
  /** Fingerprint of the key whose signature binds the payload. */
  readonly signedBy?: string;
  /** Whether that key is one that the caller named. */
  readonly isPinned: boolean;
  readonly payloadCovered: boolean;
  /** Whether every byte of the manifest, `extensions` included, is signed too. */
  readonly manifestCovered: boolean;
}

/**
 * May be called again with a fresh staging.
 * @throws GatewayError, the first in the order above: MANIFEST_INVALID, ENCRYPTION_PARAMETERS_INVALID,
 *   ENVELOPE_MALFORMED, ASSERTION_INVALID, ASSERTION_EXPIRED, SIGNER_NOT_PINNED, ENVELOPE_TOO_OLD,
 *   ENVELOPE_FROM_FUTURE, PAYLOAD_DECRYPT_FAILED, ARCHIVE_UNSAFE, ENVELOPE_TOO_LARGE, PAYLOAD_HASH_MISMATCH,
 *   METADATA_INVALID, PAYLOAD_INCONSISTENT; CANCELLED on abort
 */
export async function openEnvelope(request: OpenRequest): Promise<OpenedEnvelope> {
  try {
    return await openChecked(request);
  } catch (error) {
    throw classifyEnvelopeError(error, request.signal);
  }
}

async function openChecked(request: OpenRequest): Promise<OpenedEnvelope> {
  const { source } = request;
  const manifest = readManifest(source.manifest);
  const open = payloadOpener(request, manifest);
  const verdict = verifySignatures({
    manifest,
    manifestBytes: source.manifest,
    ...(source.jws === undefined ? {} : { jws: source.jws }),
    trust: request.trust,
    nowMs: request.nowMs,
  });
  // After the signatures: before them anyone may have written the timestamp, so whoever found an old envelope could date
  // it anew. Where unsigned envelopes are allowed, its word is taken for this as for everything else.
  if (request.age !== undefined) assertAge(manifest.timestampMs, request.age, request.nowMs);
  const payload = await open();
  assertBound(request.trust, payload, verdict);
  const metadata = checkMetadata(payload, manifest);
  const filesList = checkFilesList(payload);
  if (payload.staging.problem !== undefined) throw payload.staging.problem;
  const unknownMembers = [
    ...named(MANIFEST_FILE, manifest.unknownMembers),
    ...named(METADATA_FILE, metadata.unknownMembers),
    ...named(FILES_LIST, filesList?.unknownMembers ?? []),
  ];
  const conforms = manifest.deviations.length === 0 && metadata.conforms && unknownMembers.length === 0;
  return {
    id: manifest.id,
    dialect: dialectOf(payload, manifest),
    manifest,
    metadata,
    files: payload.staging.files,
    checks: {
      ...verdict.checks,
      payloadHash: payloadHashCheck(payload, manifest),
      filesJson: filesList === undefined ? 'absent' : 'ok',
      schema: conforms ? 'ok' : 'nonconforming',
    },
    unknownMembers,
    ...coverageOf(verdict, payload),
  };
}

/** Settles the kind of payload before anything else is asked. */
function payloadOpener(request: OpenRequest, manifest: Manifest): () => Promise<OpenedPayload> {
  const { payload } = request.source;
  const { encryption } = manifest;
  const opening = {
    ...request,
    // Named, because a spread leaves out what a class instance inherits.
    stage: (name: string, sizeBytes: number) => request.stage(name, sizeBytes),
    payloadHash: manifest.payloadHash,
  };
  if (payload.kind === 'sealed') {
    if (encryption === undefined) {
      throw new GatewayError(
        'ENCRYPTION_PARAMETERS_INVALID',
        'the payload is sealed, but the manifest has no encryption block',
      );
    }
    const { contentKey } = manifest;
    const wrapped = contentKey === undefined ? {} : { contentKey };
    return () => openSealedPayload({ ...opening, ...wrapped, payload, parameters: encryption });
  }
  if (encryption !== undefined) {
    throw new GatewayError(
      'ENVELOPE_MALFORMED',
      'the manifest names an encryption, but the payload is not sealed',
    );
  }
  return () =>
    openPlainPayload({ ...request, payload, payloadHash: manifest.payloadHash, keys: manifest.keys });
}

function checkMetadata({ staging }: OpenedPayload, manifest: Manifest): ParsedMetadata {
  const bytes = staging.documents.get(METADATA_FILE);
  if (bytes === undefined) throw new GatewayError('METADATA_INVALID', 'the payload has no metadata.json');
  const metadata = readMetadata(bytes, manifest.keys);
  const id = metadata.document['id'];
  if (manifest.keys === 'specification' && String(id).toLowerCase() !== manifest.id) {
    throw new GatewayError(
      'PAYLOAD_INCONSISTENT',
      'metadata.json belongs to another envelope than the manifest',
    );
  }
  if (manifest.keys === 'js') return metadata;
  return { ...metadata, conforms: isComplete(staging.files, metadata.model.report?.file) };
}

function checkFilesList({ staging }: OpenedPayload): ParsedFilesList | undefined {
  const bytes = staging.documents.get(FILES_LIST);
  if (bytes === undefined) return undefined;
  const list = parseFilesList(bytes);
  assertFilesListHolds(list.files, staging.files);
  return list;
}

function named(document: string, members: readonly string[]): readonly string[] {
  return members.map((member) => `${document}: ${member}`);
}

function payloadHashCheck(
  { payloadHashRule }: OpenedPayload,
  manifest: Manifest,
): EnvelopeChecks['payloadHash'] {
  if (payloadHashRule !== undefined) return `ok:${payloadHashRule}`;
  return manifest.deviations.includes(HASH_SKIPPED) ? 'absent:skipped' : 'absent';
}

function dialectOf({ hkdfInfo, payloadHashRule }: OpenedPayload, manifest: Manifest): DialectName {
  return recogniseDialect({
    manifestKeys: manifest.keys,
    manifestIndent: manifest.indent,
    payloadHashSkipped: manifest.deviations.includes(HASH_SKIPPED),
    ...(hkdfInfo === undefined ? {} : { hkdfInfo }),
    ...(payloadHashRule === undefined ? {} : { payloadHashRule }),
  }).name;
}

/**
 * A `tree-concat` hash says where no file ends: over a payload that is not sealed, whoever passes it on can join files, and
 * part them, under the same hash and the same signature.
 */
function isLoose({ payloadHashRule, hkdfInfo }: OpenedPayload): boolean {
  return hkdfInfo === undefined && payloadHashRule === 'tree-concat';
}

function assertBound(trust: Trust, payload: OpenedPayload, { payloadCovered }: SignatureVerdict): void {
  if (trust.kind !== 'pinned' || !payloadCovered || !isLoose(payload)) return;
  throw new GatewayError(
    'SIGNER_NOT_PINNED',
    'the payload is not sealed, and its signed hash binds no file: expected it sealed, or hashed as the specification says',
  );
}

function coverageOf(
  { signedBy, isPinned, payloadCovered, manifestCovered }: SignatureVerdict,
  payload: OpenedPayload,
): Pick<OpenedEnvelope, 'signedBy' | 'isPinned' | 'payloadCovered' | 'manifestCovered'> {
  // The manifest is signed all the same; who signed the payload, nobody can say.
  if (isLoose(payload)) return { isPinned: false, payloadCovered: false, manifestCovered };
  return { ...(signedBy === undefined ? {} : { signedBy }), isPinned, payloadCovered, manifestCovered };
}

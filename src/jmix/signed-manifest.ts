/**
 * The manifest of an envelope of ours and its signature: what caller and payload say, the sender's assertion over the
 * fields that bind the payload, and the JWS over the final bytes, which covers all of it. For sealed envelopes and plain
 * ones alike.
 */
import type { KeyObject } from 'node:crypto';
import { formatTimestamp } from '../domain/clock.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { type DirectoryAttestation, signAssertion } from './assertion.js';
import { formatAuditTrail } from './audit-trail.js';
import { withSteps } from './custody-step.js';
import type { Dialect } from './dialect.js';
import { formatPayloadHash, sha256Hex } from './digest.js';
import type { EncryptionParameters } from './encryption-parameters.js';
import { MANIFEST_JWS } from './envelope-names.js';
import { type EnvelopeExtensions, formatExtensions } from './extensions.js';
import type { FileEntry } from './files-list.js';
import { buildManifest, type Classification, type Entity, formatManifest } from './manifest.js';
import { signCompactJws } from './manifest-jws.js';
import type { JmixMetadata } from './metadata.js';
import { keyFingerprint } from './raw-keys.js';
import type { JsonObject } from './strict-json.js';

/** What every envelope of ours says, sealed or not. */
export interface EnvelopeContents {
  readonly id: EnvelopeId;
  readonly createdAtMs: number;
  readonly sender: Entity;
  readonly requester?: Entity;
  /** `confidential` by default. */
  readonly classification?: Classification;
  /** Readable by everyone on the way, so nothing about a patient. */
  readonly extensions?: EnvelopeExtensions;
  readonly metadata: JmixMetadata;
  /** Ed25519, private. */
  readonly signingKey: KeyObject;
  /** Stands in the assertion; dialects that have none cannot say it. */
  readonly assertionExpiresAtMs?: number;
  /** Of the sender, by a directory; stands in the assertion too. */
  readonly attestation?: DirectoryAttestation;
}

/** What is known when the payload has passed. */
export interface PayloadFacts {
  readonly receivers: readonly Entity[];
  /** `sha256:` and hex. */
  readonly payloadHash: string;
  readonly encryption?: EncryptionParameters;
  /** For several receivers; see content-key.ts. */
  readonly contentKey?: JsonObject;
}

/** The documents of an envelope beside its payload, and what they say of it. */
export interface SignedEnvelope {
  /** The final bytes of manifest.json. */
  readonly manifest: Buffer;
  /** manifest.jws over exactly these bytes. */
  readonly jws: Buffer;
  readonly audit: Buffer;
  /** As in the manifest, `sha256:` and hex. */
  readonly payloadHash: string;
  /** What files.json lists, or would: everything in the payload but files.json. */
  readonly files: readonly FileEntry[];
}

const ENCRYPTION_FIELDS = 'security.encryption.';

/**
 * Before the payload is read, which may take hours: whether what the caller gave makes a valid manifest.
 * @throws MANIFEST_INVALID
 */
export function assertManifest(
  contents: EnvelopeContents,
  receivers: readonly Entity[],
  dialect: Dialect,
): void {
  const payloadHash = formatPayloadHash('0'.repeat(64));
  formatManifest(manifestDocument(contents, { receivers, payloadHash }, dialect), undefined, dialect);
}

/** @throws MANIFEST_INVALID as `assertManifest` */
export function signedManifest(
  contents: EnvelopeContents,
  facts: PayloadFacts,
  dialect: Dialect,
): Pick<SignedEnvelope, 'manifest' | 'jws' | 'audit'> {
  const document = manifestDocument(contents, facts, dialect);
  const paths = assertedPaths(dialect, facts.receivers.length, facts.encryption !== undefined);
  const { assertionExpiresAtMs: expiresAtMs, attestation, signingKey } = contents;
  const more = {
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    ...(attestation === undefined ? {} : { attestation }),
  };
  const assertion = paths.length === 0 ? undefined : signAssertion(document, paths, signingKey, more);
  const manifest = formatManifest(document, assertion, dialect);
  const jws = signCompactJws(manifest, signingKey, { ...dialect.jwsHeader, kid: keyFingerprint(signingKey) });
  return { manifest, jws, audit: createdTrail(contents, dialect, manifest) };
}

function manifestDocument(
  contents: EnvelopeContents,
  { receivers, payloadHash, encryption, contentKey }: PayloadFacts,
  { manifestKeys }: Dialect,
): JsonObject {
  const extensions = formatExtensions(contents.extensions, contentKey);
  const draft = {
    id: contents.id,
    createdAtMs: contents.createdAtMs,
    sender: contents.sender,
    receivers,
    ...(contents.requester === undefined ? {} : { requester: contents.requester }),
    classification: contents.classification ?? 'confidential',
    payloadHash,
    ...(encryption === undefined ? {} : { encryption }),
    jwsFile: MANIFEST_JWS,
    ...(extensions === undefined ? {} : { extensions }),
  };
  return buildManifest(draft, manifestKeys);
}

/** audit.json as every envelope starts with it: its sender made it. */
function createdTrail(
  { id, createdAtMs, sender, signingKey }: EnvelopeContents,
  dialect: Dialect,
  manifest: Buffer,
): Buffer {
  const created = {
    event: dialect.firstAuditEvent,
    by: { id: sender.id, name: sender.name },
    timestamp: formatTimestamp(createdAtMs),
  };
  const subject = { envelopeId: id, manifestSha256: sha256Hex(manifest) };
  return formatAuditTrail(withSteps([], [created], subject, signingKey));
}

function assertedPaths({ assertedFields }: Dialect, receivers: number, isSealed: boolean): readonly string[] {
  return assertedFields
    .filter((path) => isSealed || !path.startsWith(ENCRYPTION_FIELDS))
    .flatMap((path) => {
      if (!path.includes('*')) return [path];
      return Array.from({ length: receivers }, (_, index) => path.replace('*', String(index)));
    });
}

/**
 * Entity assertions (JMIX security, "assertions"): an Ed25519 signature over the RFC 8785 form of `{path: value}` for
 * the paths in `signed_fields`. We sign manifest-relative paths to scalars. Reading also takes what the libraries in
 * the field sign: paths under `manifest.` and `entity.`, object values in document order, and jmix-php's default,
 * which looks every other path up in the wrong place and signs nulls; that last one binds nothing (`non-binding`).
 * Whether a key is to be trusted is not decided here.
 */
import { type KeyObject, sign } from 'node:crypto';
import { formatTimestamp } from '../domain/clock.js';
import { GatewayError } from '../errors/gateway-error.js';
import { parseBase64 } from './base64.js';
import { canonicalJson, type MemberOrder } from './canonical-json.js';
import { SIGNATURE_BYTES, verifyEd25519 } from './ed25519.js';
import { ed25519PublicKey, keyFingerprint, RAW_KEY_BYTES, rawPublicKey } from './raw-keys.js';
import { isJsonObject, type JsonObject, type JsonValue } from './strict-json.js';

export type AssertionForm = 'valid' | 'valid:php-order' | 'non-binding';

export interface VerifiedAssertion {
  readonly form: AssertionForm;
  readonly key: KeyObject;
  /** Document-relative paths that the signature binds to a value; empty for `non-binding`. */
  readonly covered: ReadonlySet<string>;
}

/** What a directory attests of the signer (JMIX manifest, `directory_attestation`). Carried here; judged elsewhere. */
export interface DirectoryAttestation {
  readonly provider: string;
  /** Compact JWS. */
  readonly jws: string;
  readonly issuedAtMs: number;
  /** Ed25519, of the directory. */
  readonly key: KeyObject;
}

/**
 * The assertion object over `paths` of `document`, as it stands in JSON.
 * @param paths dot paths from the root of `document`, each to a scalar
 * @throws FAULT when a path leads nowhere: what is to be signed is our own document
 */
export function signAssertion(
  document: JsonObject,
  paths: readonly string[],
  key: KeyObject,
  options: { readonly expiresAtMs?: number; readonly attestation?: DirectoryAttestation } = {},
): JsonObject {
  const fields = paths.map((path): [string, JsonValue] => {
    const value = valueAt(document, rootedPath(path, undefined));
    if (value === undefined) throw new GatewayError('FAULT', `no value to sign at ${path}`);
    return [path, value];
  });
  const publicKey = rawPublicKey(key);
  return {
    signing_key: {
      alg: 'Ed25519',
      public_key: publicKey.toString('base64'),
      fingerprint: keyFingerprint(key),
    },
    signed_fields: [...paths],
    signature: sign(null, signedBytes(fields, 'sorted'), key).toString('base64'),
    ...(options.expiresAtMs === undefined ? {} : { expires_at: formatTimestamp(options.expiresAtMs) }),
    ...(options.attestation === undefined
      ? {}
      : { directory_attestation: formatAttestation(options.attestation) }),
  };
}

/** As it stands in an assertion that conforms to the schema; undefined where there is none. */
export function attestationOf(assertion: JsonObject | undefined): string | undefined {
  const attestation = assertion?.['directory_attestation'];
  const jws = isJsonObject(attestation) ? attestation['attestation_signature'] : undefined;
  return typeof jws === 'string' ? jws : undefined;
}

function formatAttestation({ provider, jws, issuedAtMs, key }: DirectoryAttestation): JsonObject {
  return {
    provider,
    attestation_signature: jws,
    attestation_timestamp: formatTimestamp(issuedAtMs),
    attestation_public_key: rawPublicKey(key).toString('base64'),
  };
}

/**
 * Whether an assertion is good in itself: its fingerprint is that of its key, its signature verifies over `document`,
 * and it has not expired.
 * @param assertion as it stands in JSON, valid against the schema
 * @param entityPath where the asserting entity stands, for paths under `entity.`
 * @throws ASSERTION_INVALID, ASSERTION_EXPIRED
 */
export function verifyAssertion(
  assertion: JsonObject,
  document: JsonObject,
  options: { readonly entityPath?: string; readonly nowMs: number },
): VerifiedAssertion {
  const key = parseSigningKey(assertion['signing_key']);
  const signature = parseBase64(String(assertion['signature']));
  if (signature?.length !== SIGNATURE_BYTES)
    refuse(`assertion signature is not ${SIGNATURE_BYTES} bytes in base64`);
  const paths = parsePaths(assertion['signed_fields']);
  const verified = matchForm(document, paths, options.entityPath, (bytes) =>
    verifyEd25519(bytes, key, signature),
  );
  if (verified === undefined) refuse('assertion signature does not verify over its signed fields');
  assertNotExpired(assertion['expires_at'], options.nowMs);
  return { ...verified, key };
}

type Fields = readonly (readonly [path: string, value: JsonValue])[];

/** The first reading of the paths under which `verifies` is true, and what it covers. */
function matchForm(
  document: JsonObject,
  paths: readonly string[],
  entityPath: string | undefined,
  verifies: (bytes: Buffer) => boolean,
): { form: AssertionForm; covered: ReadonlySet<string> } | undefined {
  const rooted = paths.map((path) => ({ path, root: rootedPath(path, entityPath) }));
  const values = rooted.map(({ root }) => valueAt(document, root));
  if (values.every((value) => value !== undefined)) {
    const fields: Fields = paths.map((path, index) => [path, values[index] ?? null]);
    const covered = new Set(rooted.filter((_, index) => values[index] !== null).map(({ root }) => root));
    if (verifies(signedBytes(fields, 'sorted')))
      return { form: covered.size > 0 ? 'valid' : 'non-binding', covered };
    if (verifies(signedBytes(fields, 'document'))) return { form: 'valid:php-order', covered };
  }
  // jmix-php resolves from {"manifest": …}: every path that does not start there is null to it.
  const phpFields: Fields = rooted.map(({ path, root }) => {
    return [path, path.startsWith('manifest.') ? (valueAt(document, root) ?? null) : null];
  });
  if (!verifies(signedBytes(phpFields, 'document'))) return undefined;
  const bound = phpFields.filter(([, value]) => value !== null).map(([path]) => rootedPath(path, entityPath));
  return { form: bound.length > 0 ? 'valid' : 'non-binding', covered: new Set(bound) };
}

function signedBytes(fields: Fields, order: MemberOrder): Buffer {
  // The paths themselves are sorted in every dialect; only members inside object values may not be.
  const pairs = new Map(fields.map(([path, value]) => [path, canonicalJson(value, order)]));
  const members = [...pairs.keys()].sort().map((path) => `${canonicalJson(path)}:${pairs.get(path)}`);
  return Buffer.from(`{${members.join(',')}}`);
}

function rootedPath(path: string, entityPath: string | undefined): string {
  if (path.startsWith('manifest.')) return path.slice('manifest.'.length);
  if (entityPath !== undefined && path.startsWith('entity.')) {
    return `${entityPath}.${path.slice('entity.'.length)}`;
  }
  return path;
}

function valueAt(document: JsonObject, path: string): JsonValue | undefined {
  let value: JsonValue | undefined = document;
  for (const step of path.split('.')) {
    if (Array.isArray(value)) value = /^(?:0|[1-9]\d*)$/.test(step) ? value[Number(step)] : undefined;
    else value = isJsonObject(value) && Object.hasOwn(value, step) ? value[step] : undefined;
  }
  return value;
}

function parseSigningKey(signingKey: JsonValue | undefined): KeyObject {
  if (!isJsonObject(signingKey) || signingKey['alg'] !== 'Ed25519')
    refuse('assertion signing_key.alg must be Ed25519');
  const raw = parseBase64(String(signingKey['public_key']));
  if (raw?.length !== RAW_KEY_BYTES) refuse(`assertion public_key is not ${RAW_KEY_BYTES} bytes in base64`);
  const key = ed25519PublicKey(raw);
  // jmix-php writes upper-case hex, the others lower; the schema leaves the case free.
  if (String(signingKey['fingerprint']).toLowerCase() !== keyFingerprint(key).toLowerCase()) {
    refuse('assertion fingerprint is not that of its public_key');
  }
  return key;
}

function parsePaths(value: JsonValue | undefined): string[] {
  const paths = Array.isArray(value) ? value.filter((path) => typeof path === 'string') : [];
  if (paths.length === 0) refuse('assertion signs no fields');
  return paths;
}

function assertNotExpired(expiresAt: JsonValue | undefined, nowMs: number): void {
  if (expiresAt === undefined) return;
  const expiresAtMs = Date.parse(String(expiresAt));
  if (Number.isNaN(expiresAtMs)) refuse('assertion expires_at is not a time');
  if (expiresAtMs <= nowMs)
    throw new GatewayError('ASSERTION_EXPIRED', `assertion expired at ${formatTimestamp(expiresAtMs)}`);
}

function refuse(message: string): never {
  throw new GatewayError('ASSERTION_INVALID', message);
}

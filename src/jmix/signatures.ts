/**
 * What the signatures of an envelope say, before anything is decrypted: are those that are there good, whose are they,
 * and do they bind the payload? An envelope counts as signed only by a JWS over the exact manifest bytes, or by a
 * sender assertion over id, time, sender, every receiver, payload hash and encryption block; anything less is reported,
 * but is worth nothing, since parts of it could be exchanged with those of another envelope.
 */
import type { KeyObject } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.js';
import { type AssertionForm, type VerifiedAssertion, verifyAssertion } from './assertion.js';
import { canonicalJson } from './canonical-json.js';
import { verifyEd25519 } from './ed25519.js';
import { MANIFEST_JWS } from './envelope-names.js';
import { MANIFEST_MAX_BYTES, type Manifest, type ManifestEntity } from './manifest.js';
import { parseCompactJws, verifyCompactJws } from './manifest-jws.js';
import { keyFingerprint, rawPublicKey } from './raw-keys.js';
import { isJsonObject, type JsonObject, parseStrictObject } from './strict-json.js';

/** base64url makes four characters of three bytes; header and signature are small. */
export const JWS_MAX_BYTES = 2 * MANIFEST_MAX_BYTES;

export type Trust =
  /** The keys pinned for this sender: what none of them signed is refused. */
  | { readonly kind: 'pinned'; readonly keys: readonly KeyObject[] }
  /** Unsigned passes; what is signed must be good in itself. With `keys`, a JWS must be by one of them, and other assertions count for nothing. */
  | { readonly kind: 'allow-unsigned'; readonly keys?: readonly KeyObject[] };

export interface SignatureChecks {
  readonly assertion: 'absent' | AssertionForm;
  /** `unverified`: nothing says which key it should be. */
  readonly jws: 'absent' | 'unverified' | 'valid:exact-bytes' | 'valid:json-equal' | 'valid:stale-manifest';
}

export interface SignatureVerdict {
  readonly checks: SignatureChecks;
  /** Fingerprint of the key that binds the payload. */
  readonly signedBy?: string;
  /** Whether that key is one that the caller named: else anyone may have made it. */
  readonly isPinned: boolean;
  /** Whether a verified signature binds id, time, parties, payload hash and encryption block, and so the payload. */
  readonly payloadCovered: boolean;
  /** Whether a verified signature binds every byte of the manifest, extensions included. */
  readonly manifestCovered: boolean;
}

/** What must be bound, with every receiver's id, so that nothing can be exchanged. */
const ENVELOPE_FIELDS = ['id', 'timestamp', 'sender.id', 'security.payload_hash'];
const SEALED_FIELDS = [
  'security.encryption.ephemeral_public_key',
  'security.encryption.iv',
  'security.encryption.auth_tag',
];

/**
 * @throws ASSERTION_INVALID, ASSERTION_EXPIRED when a signature that is there is bad; with pinned keys also
 *   SIGNER_NOT_PINNED when one is by another key, or none binds the payload
 */
export function verifySignatures(request: {
  readonly manifest: Manifest;
  readonly manifestBytes: Buffer;
  readonly jws?: Buffer;
  readonly trust: Trust;
  readonly nowMs: number;
}): SignatureVerdict {
  const { manifest, trust } = request;
  const sender = verifyAssertions(manifest, request.nowMs);
  if (sender !== undefined && trust.kind === 'pinned') assertPinned(sender.key, trust.keys);
  const jws = verifyManifestJws(request, sender);

  const byJws = jws.form === 'valid:exact-bytes' && manifest.payloadHash !== undefined ? jws.key : undefined;
  // Where the caller has named keys, another one's word counts no more than that of nobody.
  const isHeard = sender !== undefined && (!isNarrow(trust) || isAmong(sender.key, trust.keys));
  const byAssertion = isHeard && coversEnvelope(sender, manifest) ? sender.key : undefined;
  const key = byJws ?? byAssertion;
  if (key === undefined && trust.kind === 'pinned') {
    throw new GatewayError('SIGNER_NOT_PINNED', 'no signature by a pinned key binds the payload');
  }
  return {
    checks: { assertion: sender?.form ?? 'absent', jws: jws.form },
    ...(key === undefined ? {} : { signedBy: keyFingerprint(key) }),
    isPinned: key !== undefined && isNarrow(trust),
    payloadCovered: key !== undefined,
    manifestCovered: jws.form === 'valid:exact-bytes',
  };
}

/** Whether the caller has said whose signatures count. */
function isNarrow(trust: Trust): trust is Trust & { readonly keys: readonly KeyObject[] } {
  return trust.kind === 'pinned' || (trust.keys !== undefined && trust.keys.length > 0);
}

/** All entities' assertions must hold; only the sender's speaks for the envelope. */
function verifyAssertions(manifest: Manifest, nowMs: number): VerifiedAssertion | undefined {
  const verifyOf = (
    entity: ManifestEntity | undefined,
    entityPath: string,
  ): VerifiedAssertion | undefined => {
    if (entity?.assertion === undefined) return undefined;
    return verifyAssertion(entity.assertion, manifest.document, { entityPath, nowMs });
  };
  const sender = verifyOf(manifest.sender, 'sender');
  verifyOf(manifest.requester, 'requester');
  manifest.receivers.forEach((receiver, index) => {
    verifyOf(receiver, `${manifest.keys === 'js' ? 'receivers' : 'receiver'}.${index}`);
  });
  return sender;
}

function coversEnvelope({ covered, form }: VerifiedAssertion, manifest: Manifest): boolean {
  if (form === 'non-binding' || manifest.payloadHash === undefined) return false;
  const required = [
    ...ENVELOPE_FIELDS,
    ...manifest.receivers.map((_, index) => `receiver.${index}.id`),
    ...(manifest.encryption === undefined ? [] : SEALED_FIELDS),
  ];
  return required.every((path) => isCovered(path, covered));
}

/** A signed object covers what is in it. */
function isCovered(path: string, covered: ReadonlySet<string>): boolean {
  if (covered.has(path)) return true;
  const parent = path.lastIndexOf('.');
  return parent >= 0 && isCovered(path.slice(0, parent), covered);
}

type JwsResult = { readonly form: SignatureChecks['jws']; readonly key?: KeyObject };

function verifyManifestJws(
  request: { manifest: Manifest; manifestBytes: Buffer; jws?: Buffer; trust: Trust },
  sender: VerifiedAssertion | undefined,
): JwsResult {
  const { manifest, manifestBytes, jws, trust } = request;
  // A file name in the manifest could lead anywhere; there is one name in the envelope, and it must be that one.
  if (manifest.jwsFile !== undefined && manifest.jwsFile !== MANIFEST_JWS) {
    refuse(`manifest names a JWS file other than ${MANIFEST_JWS}`);
  }
  if (jws === undefined) {
    if (manifest.jwsFile !== undefined) refuse(`manifest names ${MANIFEST_JWS}, but it is missing`);
    return { form: 'absent' };
  }
  if (jws.length > JWS_MAX_BYTES)
    refuse(`${MANIFEST_JWS} is ${jws.length} bytes, at most ${JWS_MAX_BYTES} bytes are read`);
  const signer =
    trust.kind === 'pinned' ? verifyCompactJws(jws, trust.keys).key : knownSigner(jws, trust.keys, sender);
  const form = relationOf(parseCompactJws(jws).payload, manifestBytes, manifest);
  if (signer === undefined) return { form: 'unverified' };
  return { form, key: signer };
}

/** Without pins: the caller's keys if there are any, else the sender assertion's if it happens to fit, else unknown. */
function knownSigner(
  jws: Buffer,
  keys: readonly KeyObject[] | undefined,
  sender: VerifiedAssertion | undefined,
): KeyObject | undefined {
  if (keys !== undefined && keys.length > 0) return verifyCompactJws(jws, keys).key;
  const { header, signingInput, signature } = parseCompactJws(jws);
  if (sender === undefined) return undefined;
  if (verifyEd25519(signingInput, sender.key, signature)) return sender.key;
  if (header['kid'] === keyFingerprint(sender.key))
    refuse('JWS signature does not verify with the key that it names');
  return undefined;
}

/** What the JWS's payload is to this manifest. */
function relationOf(payload: Buffer, manifestBytes: Buffer, manifest: Manifest): SignatureChecks['jws'] {
  if (payload.equals(manifestBytes)) return 'valid:exact-bytes';
  const signed = parseStrictObject(payload, 'JWS payload', 'ASSERTION_INVALID');
  const text = canonicalJson(signed);
  // Someone wrote the manifest anew (harmony's API does): same document, other bytes.
  if (text === canonicalJson(manifest.document)) return 'valid:json-equal';
  // jmix-php signs the manifest as it is before hash, encryption and JWS are put in.
  if (text === canonicalJson(beforeSealing(manifest.document))) return 'valid:stale-manifest';
  refuse('JWS is over another manifest');
}

function beforeSealing(document: JsonObject): JsonObject {
  const security = document['security'];
  if (!isJsonObject(security)) return document;
  const { jws: _jws, encryption: _encryption, ...rest } = security;
  return { ...document, security: { ...rest, payload_hash: '' } };
}

function isAmong(key: KeyObject, keys: readonly KeyObject[]): boolean {
  const raw = rawPublicKey(key);
  return keys.some((candidate) => rawPublicKey(candidate).equals(raw));
}

function assertPinned(key: KeyObject, pinned: readonly KeyObject[]): void {
  if (isAmong(key, pinned)) return;
  const fingerprint = keyFingerprint(key);
  throw new GatewayError(
    'SIGNER_NOT_PINNED',
    `the sender assertion is by ${fingerprint}, which is not pinned`,
    {
      facts: { fingerprint },
    },
  );
}

function refuse(message: string): never {
  throw new GatewayError('ASSERTION_INVALID', message);
}

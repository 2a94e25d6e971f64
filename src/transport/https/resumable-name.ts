/**
 * What an upload in pieces is called, in its address and on the disk of whoever takes it: the envelope's id and the
 * beginning of its manifest's hash. Both sides can compute it, so a sender that was killed finds its upload again
 * without having written anything down. Says nothing of who sends: an upload is seen by the peer that made it alone.
 */
import { type EnvelopeId, isEnvelopeId } from '../../domain/envelope-id.js';

const MANIFEST_DIGITS = 16;
const NAME_PATTERN = /^([0-9a-f-]{36})-([0-9a-f]{16})$/;
const SHA256_PATTERN = /^[0-9a-f]{64}$/;

export interface UploadName {
  readonly envelopeId: EnvelopeId;
  /** The first 16 lower hex digits of the manifest's SHA-256. */
  readonly manifestDigits: string;
}

/** `<envelope id>-<16 hex digits>`; safe as a path segment. */
export function formatUploadName(envelopeId: EnvelopeId, manifestSha256: string): string {
  return `${envelopeId}-${manifestSha256.slice(0, MANIFEST_DIGITS)}`;
}

/** Undefined for what `formatUploadName` never gives. */
export function parseUploadName(text: string): UploadName | undefined {
  const [, envelopeId, manifestDigits] = NAME_PATTERN.exec(text) ?? [];
  return isEnvelopeId(envelopeId) && manifestDigits !== undefined
    ? { envelopeId, manifestDigits }
    : undefined;
}

/** Whether this is a SHA-256 as manifests' hashes are written: 64 lower hex digits. */
export function isManifestSha256(text: unknown): text is string {
  return typeof text === 'string' && SHA256_PATTERN.test(text);
}

/** Whether an envelope with this manifest is the one that the upload brings. */
export function bringsManifest(name: UploadName, manifestSha256: string): boolean {
  return manifestSha256.slice(0, MANIFEST_DIGITS) === name.manifestDigits;
}

/** SHA-256 in the two spellings JMIX uses: bare lower hex, and `sha256:` with lower hex (manifest `payload_hash`). */
import { createHash } from 'node:crypto';

/** SHA-256 of `bytes`, 64 digits of lower hex. */
export function sha256Hex(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** `sha256:` and the digits. */
export function formatPayloadHash(hex: string): string {
  return `sha256:${hex}`;
}

/**
 * The 64 lower-case digits of a hash written bare or with `sha256:`, in either case.
 * @returns undefined when the text is neither
 */
export function parseSha256(text: string): string | undefined {
  return /^(?:sha256:)?([0-9a-f]{64})$/i.exec(text)?.[1]?.toLowerCase();
}

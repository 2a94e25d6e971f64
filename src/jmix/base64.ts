/**
 * Base64 (RFC 4648 §4) and base64url without padding (§5), decoded strictly: Node's own decoder skips what it does not
 * know, so that many texts would mean the same bytes, and a signature would not fix the text.
 */

/** @returns undefined when `text` is not the one padded standard form of its bytes */
export function parseBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** @returns undefined when `text` is not the one unpadded url-safe form of its bytes */
export function parseBase64Url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

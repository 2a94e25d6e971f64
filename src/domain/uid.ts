/**
 * Unique identifiers (PS3.5 §9.1): digits and dots, 1 to 64 characters. Only what has passed `parseUid` may become
 * part of a path. Leading zeros in a component are forbidden by the standard, but sent by real devices; they are
 * harmless and are kept as they came.
 */
import { GatewayError } from '../errors/gateway-error.js';

declare const uidBrand: unique symbol;
export type Uid = string & { readonly [uidBrand]: true };

const UID_PATTERN = /^[0-9]+(\.[0-9]+)*$/;
export const UID_MAX_LENGTH = 64;

export function isUid(text: string): text is Uid {
  return text.length <= UID_MAX_LENGTH && UID_PATTERN.test(text);
}

/**
 * The UID in a value as it stands on the wire; one trailing NUL, or trailing blanks, are padding and are dropped.
 * @param what the attribute's keyword, for the message
 * @throws DATASET_UNREADABLE when what remains is not a UID
 */
export function parseUid(text: string, what: string): Uid {
  const trimmed = withoutPadding(text);
  if (!isUid(trimmed)) {
    throw new GatewayError('DATASET_UNREADABLE', `${what} is not a UID: ${text.length} characters`);
  }
  return trimmed;
}

/** NULs and blanks at the end dropped. A loop, since a regular expression takes quadratic time on hostile values. */
export function withoutPadding(text: string): string {
  let end = text.length;
  while (end > 0 && (text[end - 1] === '\0' || text[end - 1] === ' ')) end -= 1;
  return text.slice(0, end);
}

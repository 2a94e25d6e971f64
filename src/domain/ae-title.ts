/**
 * AE titles (PS3.5 §6.2, VR AE): 1 to 16 characters of the default repertoire, no backslash, no control
 * characters; leading and trailing blanks do not count.
 */
import { GatewayError } from '../errors/gateway-error.js';

declare const aeBrand: unique symbol;
export type AeTitle = string & { readonly [aeBrand]: true };

const AE_PATTERN = /^[\x20-\x5b\x5d-\x7e]{1,16}$/;

export function isAeTitle(text: string): text is AeTitle {
  return text.trim() === text && AE_PATTERN.test(text);
}

/** @throws CONFIG_INVALID when the trimmed text is not an AE title */
export function parseAeTitle(text: string): AeTitle {
  const trimmed = text.trim();
  if (!isAeTitle(trimmed)) {
    throw new GatewayError(
      'CONFIG_INVALID',
      'AE title must be 1 to 16 printable characters without backslash',
    );
  }
  return trimmed;
}

/** An application entity and where it listens. */
export interface AeAddress {
  readonly aeTitle: AeTitle;
  readonly host: string;
  /** 1 to 65535 */
  readonly port: number;
}

/** `AE@host:port`, as an operator writes it. */
export function formatAeAddress(address: AeAddress): string {
  return `${address.aeTitle}@${address.host}:${address.port}`;
}

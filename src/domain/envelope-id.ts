/** The id of an envelope: a UUID in lower case (JMIX manifest `id`). Parsed ids are safe as path segments. */
import { GatewayError } from '../errors/gateway-error.js';

declare const envelopeIdBrand: unique symbol;
export type EnvelopeId = string & { readonly [envelopeIdBrand]: true };

const UUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function isEnvelopeId(text: unknown): text is EnvelopeId {
  return typeof text === 'string' && UUID_PATTERN.test(text);
}

/**
 * Reads an id in either case (RFC 9562 §4: output lower, input either).
 * @throws ENVELOPE_MALFORMED when it is not a UUID
 */
export function parseEnvelopeId(text: unknown): EnvelopeId {
  const lower = typeof text === 'string' ? text.toLowerCase() : text;
  if (!isEnvelopeId(lower)) throw new GatewayError('ENVELOPE_MALFORMED', 'envelope id is not a UUID');
  return lower;
}

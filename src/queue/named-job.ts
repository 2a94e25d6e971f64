/**
 * The id of a job that one envelope has several of, or that knows nothing but a name: the envelope's id and the PACS it
 * is delivered to, or the exchange it is fetched from. Both are safe in a job id: a UUID, and a name of at most 24
 * letters, digits, `-` and `_`.
 */
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';

const UUID_LENGTH = 36;

/** @param name of the PACS or the exchange */
export function formatNamedId(id: EnvelopeId, name: string): string {
  return `${id}_${name}`;
}

/** @throws ENVELOPE_MALFORMED when it was not made by `formatNamedId` */
export function parseNamedId(text: string): { readonly id: EnvelopeId; readonly name: string } {
  return { id: parseEnvelopeId(text.slice(0, UUID_LENGTH)), name: text.slice(UUID_LENGTH + 1) };
}

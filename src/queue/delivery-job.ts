/**
 * The id of a `deliver` job: the envelope's id and the PACS, since each PACS has a job of its own. Both are safe in a
 * job id: a UUID, and a name of at most 24 letters, digits, `-` and `_`.
 */
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';

const UUID_LENGTH = 36;

export function formatDeliverId(id: EnvelopeId, pacsName: string): string {
  return `${id}_${pacsName}`;
}

/** @throws ENVELOPE_MALFORMED when it was not made by `formatDeliverId` */
export function parseDeliverId(text: string): { readonly id: EnvelopeId; readonly pacsName: string } {
  return { id: parseEnvelopeId(text.slice(0, UUID_LENGTH)), pacsName: text.slice(UUID_LENGTH + 1) };
}

/**
 * An operator says: dealt with. What a PACS refused, or does not commit to after all, has come there in another way, or was
 * found there: it needs nobody's attention any more. Nothing is deleted or told to anybody; `retry` still sends it as long
 * as it is kept, which from here on is as long as what was delivered. What a PACS refuses later needs attention again.
 */
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceReception, receptionState } from '../domain/reception.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { InboundParts } from './parts.js';

/**
 * May be called again, and changes nothing then.
 * @param by who says so, in words
 * @throws ENVELOPE_NOT_FOUND, STATE_INVALID when no PACS has refused anything of it
 */
export async function dismissReception(
  parts: Pick<InboundParts, 'receptions' | 'clock' | 'log'>,
  id: EnvelopeId,
  by: string,
): Promise<void> {
  let isDue = false;
  const record = await parts.receptions.update(id, (current) => {
    isDue = receptionState(current) === 'refused';
    return isDue ? advanceReception(current, { type: 'dismissed', by }, parts.clock.now()) : current;
  });
  if (isDue) parts.log.info({ event: 'reception.dismissed', reception: id, by });
  else if (record.dismissed === undefined) {
    throw new GatewayError(
      'STATE_INVALID',
      `a reception that is ${receptionState(record)} cannot be dismissed: no PACS has refused it`,
    );
  }
}

/** An operator says: again. What was quarantined is opened anew, a PACS that refused is asked again. */
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceReception, receptionState } from '../domain/reception.js';
import { GatewayError } from '../errors/gateway-error.js';
import { folderExists } from '../spool/envelope-store.js';
import { RECEIPT_DOCUMENTS } from './confirm.js';
import { takeUpAgain } from './give-way.js';
import { enqueueNext, type InboundParts } from './parts.js';

/** @throws ENVELOPE_NOT_FOUND, STATE_INVALID when nothing of it waits for an operator */
export async function retryReception(parts: InboundParts, id: EnvelopeId): Promise<void> {
  const reception = await parts.receptions.read(id);
  if (reception === undefined) throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is no such reception');
  const state = receptionState(reception);
  const isRefused = state === 'refused' || state === 'dismissed';
  if (state !== 'quarantined' && state !== 'parked' && !isRefused) {
    throw new GatewayError('STATE_INVALID', `a reception that is ${state} needs no retry`);
  }
  if (isRefused && !(await folderExists(parts.layout.openedOf(id)))) {
    throw new GatewayError(
      'STATE_INVALID',
      'its instances are no longer here: ask the sender to send it anew',
    );
  }
  if (reception.quarantined !== undefined) {
    await takeUpAgain(parts, reception);
  }
  // The next refusal, if there is one, has a reason of its own.
  await parts.receptions.removeDocument(id, RECEIPT_DOCUMENTS.refused);
  const record = await parts.receptions.update(id, (current) =>
    advanceReception(current, { type: 'retried' }, parts.clock.now()),
  );
  parts.log.info({ event: 'reception.retried', reception: id });
  await enqueueNext(parts, record);
}

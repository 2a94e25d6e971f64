/**
 * Deterministic job ids: the same step of the same envelope always has the same id, so that adding it twice is
 * adding it once. BullMQ forbids `:` in an id (its key separator) and ids of digits only (its own counter).
 */
import { GatewayError } from '../errors/gateway-error.js';
import type { Stage } from './jobs.js';

const SAFE_ID = /^[0-9A-Za-z_-]{1,64}$/;

/**
 * `ship.1f0c…`, or `ship.1f0c….2` in a later round.
 * @param round how often an operator has sent the step round again, from 0. The next round has an id of its own, so
 * that it is not swallowed by the job of the round before, which may be failing at this very moment.
 * @throws FAULT when the id is not 1 to 64 letters, digits, `-` or `_`, or the round is not a whole number from 0
 */
export function formatJobId(stage: Stage, id: string, round = 0): string {
  if (!SAFE_ID.test(id)) throw new GatewayError('FAULT', 'id cannot be part of a job id');
  if (!Number.isSafeInteger(round) || round < 0) {
    throw new GatewayError('FAULT', `round is ${round}, a whole number from 0 is needed`);
  }
  return round === 0 ? `${stage}.${id}` : `${stage}.${id}.${round}`;
}

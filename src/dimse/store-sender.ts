/**
 * The instances of a queue over one association: while one is being answered, the next is read; as many are outstanding
 * as was agreed. Ends when the queue is empty, the association is lost, or sending has been stopped; everything that
 * was taken from the queue by then has had its outcome, or is back in it.
 */
import { toGatewayError } from '../errors/gateway-error.js';
import { classifyStatus } from './classify.js';
import { beginReading, type Reading } from './instance-reading.js';
import type { StoreTicket } from './scu-association.js';
import type { Lease } from './scu-pool.js';
import { type Convert, type OutgoingInstance, type StoreOutcome, unanswered } from './store-outcome.js';
import type { StoreQueue } from './store-queue.js';

export interface SenderParts {
  readonly queue: StoreQueue<OutgoingInstance>;
  readonly convert?: Convert;
  readonly signal: AbortSignal;
  /** Two: the one instance goes out of the first while the next is read into the second. */
  readonly buffers: readonly [Buffer, Buffer];
  /** Resolves when the instance may go out. Never throws. */
  sending(instance: OutgoingInstance): Promise<void>;
  /** Resolves when the outcome has been noted. Never throws. */
  report(outcome: StoreOutcome): Promise<void>;
  /** Nothing new is to be sent. */
  isStopped(): boolean;
}

/** An instance that can go out, or the outcome of one that cannot. */
type Prepared =
  | { readonly own: OutgoingInstance; readonly instance: OutgoingInstance; readonly reading: Reading }
  | { readonly own: OutgoingInstance; readonly outcome: StoreOutcome };

export async function sendOver(lease: Lease, parts: SenderParts): Promise<void> {
  const { association } = lease;
  const { queue, report } = parts;
  const outstanding = new Set<Promise<void>>();
  const isOver = () => association.failure !== undefined || parts.isStopped();
  let turn = 0;
  const prepareNext = (): Promise<Prepared> | undefined => {
    const own = isOver() ? undefined : queue.take();
    turn += 1;
    return own && prepare(lease, own, parts.buffers[turn % 2 === 0 ? 0 : 1], parts);
  };

  let next = prepareNext();
  while (next !== undefined) {
    const prepared = await next;
    if ('reading' in prepared && !isOver()) await parts.sending(prepared.own);
    if (isOver()) {
      queue.putBack(prepared.own);
      if ('reading' in prepared) await prepared.reading.close();
      break;
    }
    if ('outcome' in prepared) {
      await report(prepared.outcome);
      next = prepareNext();
      continue;
    }
    const ticket = association.store(prepared.instance, prepared.reading);
    const settled: Promise<void> = settle(lease, ticket, prepared, parts).finally(() =>
      outstanding.delete(settled),
    );
    outstanding.add(settled);
    next = prepareNext();
    await ticket.sent.catch(() => undefined);
    while (outstanding.size >= association.window) await Promise.race(outstanding);
  }
  await Promise.all(outstanding);
}

/** Finds out in what transfer syntax it can go, and reads its first piece. Never throws. */
async function prepare(
  { association }: Lease,
  own: OutgoingInstance,
  into: Buffer,
  { convert, signal }: SenderParts,
): Promise<Prepared> {
  const { sopInstanceUid } = own;
  try {
    const refusal = association.refusal(own);
    const accepted = refusal === undefined ? [] : association.acceptedSyntaxes(own.sopClassUid);
    if (refusal !== undefined && (convert === undefined || accepted.length === 0)) {
      return { own, outcome: { sopInstanceUid, sha256: '', result: 'refused', error: refusal } };
    }
    const instance = refusal === undefined ? own : await convert?.(own, accepted, signal);
    if (instance === undefined) throw refusal;
    return { own, instance, reading: await beginReading(instance, into) };
  } catch (raw) {
    const error = toGatewayError(raw);
    const outcome: StoreOutcome =
      error.code === 'TRANSCODE_FAILED'
        ? { sopInstanceUid, sha256: '', result: 'refused', error }
        : unanswered(sopInstanceUid, error);
    return { own, outcome };
  }
}

async function settle(
  { association, reused, answersBefore }: Lease,
  ticket: StoreTicket,
  { own, instance, reading }: Extract<Prepared, { reading: Reading }>,
  { queue, report }: SenderParts,
): Promise<void> {
  const { sopInstanceUid } = own;
  try {
    const { status, sha256 } = await ticket.answered;
    const { transferSyntaxUid } = instance;
    await report({
      sopInstanceUid,
      sha256,
      status,
      transferSyntaxUid,
      ...classifyStatus(status, own.mayBeThere === true),
    });
  } catch (error) {
    await reading.close();
    const code = association.failure?.code;
    const isCulprit = await ticket.sent.then(
      () => false,
      () => code === 'SPOOL_CORRUPT',
    );
    const wasDead = reused && association.answers === answersBefore && code !== 'CANCELLED';
    // Lost through another instance of ours, or by an end that was not noticed: it is sent again, which is harmless.
    if (!isCulprit && (wasDead || code === 'SPOOL_CORRUPT')) queue.putBack({ ...own, mayBeThere: true });
    else await report(unanswered(sopInstanceUid, error));
  }
}

/**
 * The instances of a queue over one association: while one is being answered, the next is made ready to the last byte of
 * its first write, and the one after it is read; as many are outstanding as was agreed. Ends when the queue is empty, the
 * association is lost, or sending has been stopped; everything that was taken from the queue by then has had its outcome,
 * or is back in it.
 */
import { toGatewayError } from '../errors/gateway-error.js';
import { classifyStatus } from './classify.js';
import { type Desk, giveDesks, takeDesks } from './desks.js';
import { beginReading, type Reading } from './instance-reading.js';
import type { Lease } from './scu-pool.js';
import { type Convert, type OutgoingInstance, type StoreOutcome, unanswered } from './store-outcome.js';
import type { StoreQueue } from './store-queue.js';
import type { StoreTicket } from './store-ticket.js';

export interface SenderParts {
  readonly queue: StoreQueue<OutgoingInstance>;
  readonly convert?: Convert;
  readonly signal: AbortSignal;
  /** Called right before an instance goes out: whether it may. Never throws. */
  sending(instance: OutgoingInstance): boolean | Promise<boolean>;
  /** Resolves when the outcome has been noted. Never throws. */
  report(outcome: StoreOutcome): Promise<void>;
  /** Nothing new is to be sent. */
  isStopped(): boolean;
}

/** An instance that can go out, or the outcome of one that cannot. */
type Prepared = Sendable | Unsendable;

interface Sendable {
  readonly own: OutgoingInstance;
  readonly desk: Desk;
  /** It, or what it was converted to. */
  readonly instance: OutgoingInstance;
  readonly reading: Reading;
}

interface Unsendable {
  readonly own: OutgoingInstance;
  readonly desk: Desk;
  readonly outcome: StoreOutcome;
}

export async function sendOver(lease: Lease, parts: SenderParts): Promise<void> {
  const { association } = lease;
  const { queue, report } = parts;
  const desks = takeDesks();
  const free = [...desks];
  const ahead: Promise<Prepared>[] = [];
  /** Those that have gone out, or are about to, and whose outcome has not been noted. */
  const unsettled = new Set<Promise<void>>();
  const isOver = () => association.failure !== undefined || parts.isStopped();
  const readMore = (): void => {
    for (let desk = free.pop(); desk !== undefined; desk = free.pop()) {
      const own = isOver() ? undefined : queue.take();
      if (own === undefined) {
        free.push(desk);
        return;
      }
      ahead.push(prepare(lease, own, desk, parts));
    }
  };

  readMore();
  for (let next = ahead[0]; next !== undefined; next = ahead[0]) {
    const prepared = await next;
    if (isOver()) break;
    if ('outcome' in prepared) {
      await Promise.all(unsettled);
      await report(prepared.outcome);
    } else {
      // The PACS is at the instance before: now is the time for all that takes long.
      const { own, instance, reading, desk } = prepared;
      const draft = association.draft(instance, reading, desk.frame);
      while (unsettled.size > association.window) await Promise.race(unsettled);
      const ticket = association.store(draft, () => !isOver() && parts.sending(own));
      const settled: Promise<void> = settle(lease, ticket, prepared, parts).finally(() =>
        unsettled.delete(settled),
      );
      unsettled.add(settled);
      if (!(await ticket.sent.catch(() => true))) break;
    }
    ahead.shift();
    free.push(prepared.desk);
    readMore();
  }
  for (const unsent of (await Promise.all(ahead)).reverse()) {
    queue.putBack(unsent.own);
    if ('reading' in unsent) await unsent.reading.close();
  }
  await Promise.all(unsettled);
  giveDesks(desks, association.failure === undefined);
}

/** Finds out in what transfer syntax it can go, and reads its first piece. Never throws. */
async function prepare(
  { association }: Lease,
  own: OutgoingInstance,
  desk: Desk,
  { convert, signal }: SenderParts,
): Promise<Prepared> {
  const { sopInstanceUid } = own;
  try {
    const refusal = association.refusal(own);
    const accepted = refusal === undefined ? [] : association.acceptedSyntaxes(own.sopClassUid);
    if (refusal !== undefined && (convert === undefined || accepted.length === 0)) {
      return { own, desk, outcome: { sopInstanceUid, sha256: '', result: 'refused', error: refusal } };
    }
    const instance = refusal === undefined ? own : await convert?.(own, accepted, signal);
    if (instance === undefined) throw refusal;
    return { own, desk, instance, reading: await beginReading(instance, desk.into) };
  } catch (raw) {
    const error = toGatewayError(raw);
    const outcome: StoreOutcome =
      error.code === 'TRANSCODE_FAILED'
        ? { sopInstanceUid, sha256: '', result: 'refused', error }
        : unanswered(sopInstanceUid, error);
    return { own, desk, outcome };
  }
}

async function settle(
  { association, reused, answersBefore }: Lease,
  ticket: StoreTicket,
  { own, instance, reading }: Sendable,
  { queue, report }: SenderParts,
): Promise<void> {
  const { sopInstanceUid } = own;
  try {
    const answer = await ticket.answered;
    if (answer === undefined) return;
    const { status, sha256 } = answer;
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

/**
 * C-STORE SCU (PS3.4 Annex B): sends instances to a PACS, byte for byte as they lie on disk, and accounts for every
 * one of them. Presentation contexts are proposed from what the instances are: one per pair of SOP class and transfer
 * syntax. What a PACS does not take is converted where the caller knows how, or refused by name; the others go on.
 *
 * Several associations share one queue (`store-sender` serves one of them). An instance without a final status is
 * *unanswered*, never sent.
 */
import type { Socket } from 'node:net';
import type { AeTitle } from '../domain/ae-title.js';
import { type GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { CalledPacs, ScuTimeouts } from './scu-connection.js';
import { type AssociationWish, type Lease, type ScuPool, takeOnce } from './scu-pool.js';
import { type Convert, type OutgoingInstance, type StoreOutcome, unanswered } from './store-outcome.js';
import { planStores, type StoreGroup } from './store-plan.js';
import { StoreQueue } from './store-queue.js';
import { type SenderParts, sendOver } from './store-sender.js';

export type { Convert, OutgoingInstance, StoreOutcome } from './store-outcome.js';

/** Associations in a row that break before a single answer, each begun at another place of what is left. */
const MAX_FRUITLESS = 3;
/** For fewer instances no further association is opened. */
const MIN_PER_ASSOCIATION = 2;
export interface StoreSummary {
  readonly stored: number;
  readonly warning: number;
  readonly refused: number;
  readonly unanswered: number;
  /** Opened for this call. */
  readonly associations: number;
}

export interface StoreScuOptions extends ScuTimeouts {
  /** Whom to send to; what it says of associations, transfer syntaxes, users and times is heeded. */
  readonly pacs: CalledPacs;
  /** For instances that name no caller of their own. */
  readonly callingAe: AeTitle;
  readonly instances: readonly OutgoingInstance[];
  /** Associations are taken from it and given back; without it they are opened and released. */
  readonly pool?: ScuPool;
  /** For instances whose own transfer syntax is not taken. */
  readonly convert?: Convert;
  readonly connect?: (pacs: CalledPacs) => Socket;
  /** Aborts the associations; what has no answer by then is unanswered. */
  readonly signal?: AbortSignal;
  /**
   * Called before the first byte of an instance goes out, each time that it does, and awaited where there is something to
   * await. If it throws, sending stops and `storeInstances` throws the same.
   */
  onSending?(instance: OutgoingInstance): Promise<void> | undefined;
  /**
   * Called for one outcome at a time, and awaited while the association sends the next instance, but no further. Outcomes
   * come in the order of the instances only on one association that does not break, and whose peer answers in order. If it
   * throws, sending stops and `storeInstances` throws the same.
   */
  onOutcome(outcome: StoreOutcome): void | Promise<void>;
  readonly log?: Log;
}

/**
 * Sends instances over as many associations as the PACS is given, and as their presentation contexts need. Resolves
 * when each has had exactly one outcome. When an association breaks, what was under way is unanswered, and the rest
 * goes on in a new one, so that one instance over which a PACS stumbles does not keep back the others; after a few of
 * those in a row the rest is unanswered too.
 * @throws PACS_UNREACHABLE, PACS_UNTRUSTED, PACS_BUSY, PACS_REFUSED when an association cannot be had while none has
 * broken yet; CANCELLED when stopped before that. Instances without an outcome were then certainly not sent.
 */
export async function storeInstances(options: StoreScuOptions): Promise<StoreSummary> {
  const { pacs, callingAe, convert } = options;
  const counts = { stored: 0, warning: 0, refused: 0, unanswered: 0 };
  const reporter = new Reporter(async (outcome) => {
    counts[outcome.result] += 1;
    await options.onOutcome(outcome);
  });
  const plan = planStores(options.instances, {
    callingAe,
    converts: convert !== undefined,
    ...(pacs.transferSyntaxes === undefined ? {} : { transferSyntaxes: pacs.transferSyntaxes }),
  });
  for (const { instance, error } of plan.refused) {
    await reporter.report({ sopInstanceUid: instance.sopInstanceUid, sha256: '', result: 'refused', error });
  }
  const course: Course = { associations: 0, fruitless: 0, isGivenUp: false };
  for (const group of plan.groups) {
    const queue = new StoreQueue(group.instances);
    if (goesOn(course)) await sendGroup(options, group, queue, reporter, course);
    reporter.throwFailure();
    if (queue.size > 0 && course.broken === undefined) throw course.unavailable;
    course.isGivenUp ||= queue.size > 0;
    for (let rest = queue.take(); rest !== undefined; rest = queue.take()) {
      await reporter.report(unanswered(rest.sopInstanceUid, course.unavailable ?? course.broken));
    }
  }
  reporter.throwFailure();
  return { ...counts, associations: course.associations };
}

/** What happened so far, over all associations. */
interface Course {
  associations: number;
  /** Associations in a row that broke before an answer. */
  fruitless: number;
  /** Why the latest that broke did so. */
  broken?: GatewayError;
  /** Why the latest that was wanted could not be had; absent when it could. */
  unavailable?: GatewayError | undefined;
  /** A group could not be sent to its end. */
  isGivenUp: boolean;
}

function goesOn({ fruitless, broken, isGivenUp }: Course): boolean {
  return fruitless < MAX_FRUITLESS && broken?.code !== 'CANCELLED' && !isGivenUp;
}

async function sendGroup(
  options: StoreScuOptions,
  group: StoreGroup<OutgoingInstance>,
  queue: StoreQueue<OutgoingInstance>,
  reporter: Reporter,
  course: Course,
): Promise<void> {
  const wanted = Math.min(options.pacs.associations ?? 1, Math.ceil(queue.size / MIN_PER_ASSOCIATION));
  const lines = Array.from({ length: Math.max(1, wanted) }, () =>
    sendLine(options, group, queue, reporter, course),
  );
  // None of them throws for what the network or a file does; what is left over stays in the queue.
  await Promise.all(lines);
}

/** One association after the other, until the queue is empty or it makes no sense any more. */
async function sendLine(
  options: StoreScuOptions,
  group: StoreGroup<OutgoingInstance>,
  queue: StoreQueue<OutgoingInstance>,
  reporter: Reporter,
  course: Course,
): Promise<void> {
  const { convert, signal = new AbortController().signal } = options;
  const { callingAe, contexts } = group;
  const parts: SenderParts = {
    queue,
    signal,
    sending: (instance) => reporter.announce(() => options.onSending?.(instance)),
    report: (outcome) => reporter.report(outcome),
    isStopped: () => reporter.hasFailed,
    ...(convert === undefined ? {} : { convert }),
  };
  let fresh = false;
  while (queue.size > 0 && goesOn(course) && !reporter.hasFailed) {
    const wish: AssociationWish = { ...options, callingAe, contexts, fresh };
    const lease = await take(wish, options.pool, course);
    if (lease === undefined) return;
    if (!lease.reused) course.associations += 1;
    await sendOver(lease, parts);
    const { failure } = lease.association;
    await lease.giveBack();
    options.log?.debug({ event: 'association.left', code: failure?.code });
    fresh = lease.reused && failure !== undefined && !isAnswered(lease);
    // A file of ours that cannot be read ends an association too, but says nothing about the PACS.
    if (fresh || failure?.code === 'SPOOL_CORRUPT') continue;
    course.fruitless = failure === undefined || isAnswered(lease) ? 0 : course.fruitless + 1;
    if (failure === undefined) continue;
    course.broken = failure;
    if (course.fruitless > 0) queue.rotate(1 / MAX_FRUITLESS);
  }
}

async function take(
  wish: AssociationWish,
  pool: ScuPool | undefined,
  course: Course,
): Promise<Lease | undefined> {
  try {
    const lease = await (pool?.take(wish) ?? takeOnce(wish));
    course.unavailable = undefined;
    return lease;
  } catch (error) {
    course.unavailable = toGatewayError(error);
    return undefined;
  }
}

function isAnswered({ association, answersBefore }: Lease): boolean {
  return association.answers > answersBefore;
}

/** Gives outcomes to the caller, one after the other. After the caller has thrown, it gets no more. */
class Reporter {
  readonly #give: (outcome: StoreOutcome) => Promise<void>;
  #last: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;

  constructor(give: (outcome: StoreOutcome) => Promise<void>) {
    this.#give = give;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  report(outcome: StoreOutcome): Promise<void> {
    this.#last = this.#last.then(async () => {
      if (!this.hasFailed) await this.#give(outcome).catch((error: unknown) => this.#fail(error));
    });
    return this.#last;
  }

  /** Tells the caller of an instance that is about to go out. @returns whether it may */
  announce(tell: () => Promise<void> | undefined): boolean | Promise<boolean> {
    try {
      const told = tell();
      if (told === undefined) return !this.hasFailed;
      return told.catch((error: unknown) => this.#fail(error)).then(() => !this.hasFailed);
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** What the caller throws is kept for `throwFailure`. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

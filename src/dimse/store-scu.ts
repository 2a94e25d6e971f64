/**
 * C-STORE SCU (PS3.4 Annex B): sends instances to a PACS, byte for byte as they lie on disk, and accounts for every
 * one of them. Presentation contexts are proposed from what the instances are: one per pair of SOP class and
 * transfer syntax; nothing is ever transcoded. What a PACS does not take is refused by name, and the others go on.
 *
 * Design: dcmjs-dimse negotiates and encodes commands (`scu-library`), data sets stream past it straight from the
 * source into PDUs (`pdata-writer`), one C-STORE outstanding at a time. An instance without a final status is
 * *unanswered*, never sent.
 */
import type { AeAddress, AeTitle } from '../domain/ae-title.js';
import { GatewayError, isGatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { classifyStatus } from './classify.js';
import { openScuAssociation, type ScuAssociation, type ScuTimeouts } from './scu-association.js';
import type { ProposedContext } from './scu-library.js';

/** Ids are the odd numbers of a byte (PS3.8 §9.3.2.2). */
const MAX_CONTEXTS = 128;
/** Associations in a row that break before a single answer, each begun at another place of what is left. */
const MAX_FRUITLESS = 3;

export interface OutgoingInstance {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  /** The one that the data set is really in. */
  readonly transferSyntaxUid: string;
  /** Length of the data set in bytes, without Part 10 header. */
  readonly sizeBytes: number;
  /** The data set's bytes, without Part 10 header. Called once at most per call of `storeInstances`. */
  open(): AsyncIterable<Buffer>;
}

export interface StoreOutcome {
  readonly sopInstanceUid: string;
  /** SHA-256, lower hex, of the data set bytes as they went out; empty when not all of them did. */
  readonly sha256: string;
  /** The PACS's final status; absent when it gave none. */
  readonly status?: number;
  /**
   * `stored` and `warning`: the PACS has it. `refused`: the PACS does not want it, or not now (`error.kind`).
   * `unanswered`: it may have it; to send it again is harmless.
   */
  readonly result: 'stored' | 'warning' | 'refused' | 'unanswered';
  /** Present when refused or unanswered. */
  readonly error?: GatewayError;
}

export interface StoreSummary {
  readonly stored: number;
  readonly warning: number;
  readonly refused: number;
  readonly unanswered: number;
  readonly associations: number;
}

export interface StoreScuOptions extends ScuTimeouts {
  readonly pacs: AeAddress;
  readonly callingAe: AeTitle;
  readonly instances: readonly OutgoingInstance[];
  /** Aborts the association; what has no answer by then is unanswered. */
  readonly signal?: AbortSignal;
  /**
   * Awaited before the next instance. Outcomes come in the order of the instances only while no association breaks.
   * If it throws, sending stops and `storeInstances` throws the same.
   */
  onOutcome(outcome: StoreOutcome): void | Promise<void>;
  readonly log?: Log;
}

/**
 * Sends instances over as many associations as their presentation contexts need. Resolves when each has had exactly
 * one outcome. When an association breaks, the instance under way is unanswered, and the rest goes on in a new one, so
 * that one data set over which a PACS stumbles does not hold up a study for ever; the rest is unanswered too when no
 * association can be had any more, or several in a row bring no answer.
 * @throws PACS_UNREACHABLE, PACS_BUSY, PACS_REFUSED when an association cannot be had while none has broken yet;
 * CANCELLED when stopped before that. Instances without an outcome were then certainly not sent.
 */
export async function storeInstances(options: StoreScuOptions): Promise<StoreSummary> {
  const counts = { stored: 0, warning: 0, refused: 0, unanswered: 0 };
  const report = async (outcome: StoreOutcome): Promise<void> => {
    counts[outcome.result] += 1;
    await options.onOutcome(outcome);
  };
  let associations = 0;
  let fruitless = 0;
  let broken: GatewayError | undefined;
  let rest = options.instances;
  while (rest.length > 0 && fruitless < MAX_FRUITLESS && broken?.code !== 'CANCELLED') {
    const { batch, contexts, later } = nextBatch(rest);
    const association = await openScuAssociation({ ...options, contexts }).catch((error: unknown) => {
      if (broken === undefined) throw error;
      broken = toGatewayError(error);
    });
    if (association === undefined) break;
    associations += 1;
    options.log?.debug({ event: 'association.opened', contexts: contexts.length, instances: batch.length });
    try {
      const { unsent, answers } = await storeBatch(association, batch, report);
      rest = [...unsent, ...later];
      // A file of ours that cannot be read ends an association too, but says nothing about the PACS.
      if (association.failure?.code === 'SPOOL_CORRUPT') continue;
      broken = association.failure ?? broken;
      fruitless = association.failure === undefined || answers > 0 ? 0 : fruitless + 1;
      if (fruitless > 0) rest = fromElsewhere(rest);
    } finally {
      await association.release();
      options.log?.debug({ event: 'association.closed', code: association.failure?.code });
    }
  }
  for (const { sopInstanceUid } of rest) await report(unanswered(sopInstanceUid, broken));
  return { ...counts, associations };
}

interface Batch {
  readonly batch: readonly OutgoingInstance[];
  readonly contexts: readonly ProposedContext[];
  readonly later: readonly OutgoingInstance[];
}

/** As many instances as 128 presentation contexts serve; those of other kinds wait for the next association. */
function nextBatch(instances: readonly OutgoingInstance[]): Batch {
  const contexts = new Map<string, ProposedContext>();
  const batch: OutgoingInstance[] = [];
  const later: OutgoingInstance[] = [];
  for (const instance of instances) {
    const { sopClassUid, transferSyntaxUid } = instance;
    const key = `${sopClassUid}|${transferSyntaxUid}`;
    if (!contexts.has(key) && contexts.size < MAX_CONTEXTS)
      contexts.set(key, { sopClassUid, transferSyntaxUid });
    (contexts.has(key) ? batch : later).push(instance);
  }
  return { batch, contexts: [...contexts.values()], later };
}

/**
 * The same instances, begun a third of the way in. Those over which a PACS stumbles often stand side by side; in the
 * old order they would use up all attempts, in every call anew, and nothing behind them would ever be sent.
 */
function fromElsewhere(rest: readonly OutgoingInstance[]): readonly OutgoingInstance[] {
  const at = Math.floor(rest.length / MAX_FRUITLESS);
  return [...rest.slice(at), ...rest.slice(0, at)];
}

interface BatchResult {
  /** Not tried, since the association ended before. */
  readonly unsent: readonly OutgoingInstance[];
  /** C-STOREs that the PACS has answered, in whatever way. */
  readonly answers: number;
}

async function storeBatch(
  association: ScuAssociation,
  batch: readonly OutgoingInstance[],
  report: (outcome: StoreOutcome) => Promise<void>,
): Promise<BatchResult> {
  let answers = 0;
  for (const [at, instance] of batch.entries()) {
    if (association.failure !== undefined) return { unsent: batch.slice(at), answers };
    const outcome = await storeOne(association, instance);
    if (outcome.status !== undefined) answers += 1;
    await report(outcome);
  }
  return { unsent: [], answers };
}

async function storeOne(association: ScuAssociation, instance: OutgoingInstance): Promise<StoreOutcome> {
  const { sopInstanceUid } = instance;
  const refusal = association.refusal(instance);
  if (refusal !== undefined) return { sopInstanceUid, sha256: '', result: 'refused', error: refusal };
  try {
    const { status, sha256 } = await association.store(instance, readable(instance));
    return { sopInstanceUid, sha256, status, ...classifyStatus(status) };
  } catch (error) {
    return unanswered(sopInstanceUid, error);
  }
}

/** The source, with what it throws told apart from what the PACS does. */
async function* readable(instance: OutgoingInstance): AsyncIterable<Buffer> {
  try {
    yield* instance.open();
  } catch (error) {
    if (isGatewayError(error) && error.code === 'SPOOL_CORRUPT') throw error;
    throw new GatewayError('SPOOL_CORRUPT', 'a stored instance cannot be read', { cause: error });
  }
}

function unanswered(sopInstanceUid: string, cause: unknown): StoreOutcome {
  const because = isGatewayError(cause) ? cause.message : 'the association was lost';
  const error =
    isGatewayError(cause) && cause.code === 'SPOOL_CORRUPT'
      ? cause
      : new GatewayError('STORE_UNANSWERED', `C-STORE has no answer: ${because}`, { cause });
  return { sopInstanceUid, sha256: '', result: 'unanswered', error };
}

/**
 * deliver: opened study → one PACS, by C-STORE. Every instance gets its outcome, journalled as it comes, so that a
 * restart sends only what is not yet answered; an instance that was stored but not noted is sent again, which a PACS
 * recognises. What was refused for good is sent again only when an operator says so. Each PACS has a job of its own: a
 * dead one delays no other.
 */
import { join } from 'node:path';
import { formatStatus } from '../dicom/store-status.js';
import { type OutgoingInstance, type StoreOutcome, storeInstances } from '../dimse/store-scu.js';
import { uncachedFlag } from '../disk/uncached.mjs';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Pacs } from '../domain/peer.js';
import { advanceReception, isDeliverable, type PacsOutcome, type Reception } from '../domain/reception.js';
import { GatewayError } from '../errors/gateway-error.js';
import { readPieces } from '../spool/file-pieces.js';
import { appendJournal } from '../spool/journal.js';
import { commitStored } from './commitment.js';
import { takeLateReports } from './commitment-late.js';
import type { Uncommitted } from './commitment-state.js';
import { openConverter } from './convert.js';
import type { OpenedInstance } from './inspect-instances.js';
import {
  type JournalledOutcome,
  journalName,
  mayBeThere,
  OutcomeJournal,
  readEarlierRuns,
} from './outcome-journal.js';
import { enqueueNext, type InboundParts } from './parts.js';
import { describeRefusals, isDuplicate } from './refusals.js';
import { readSentBefore } from './sent-before.js';
import { readOpenedInstances } from './verify.js';

/** The record shows progress about this often. */
const PROGRESS_EVERY_MS = 1_000;
/** Of what is shorter, blocks would be read that nobody needs. */
const MIN_UNCACHED_BYTES = 64 * 1024;
/** Whether a PACS is still paused. */
const PAUSED_LOOK_AGAIN_MS = 30_000;

/**
 * @throws PACS_PAUSED; PACS_UNREACHABLE, PACS_BUSY, PACS_REFUSED (the association), STORE_UNANSWERED; COMMITMENT_PENDING and
 * COMMITMENT_FAILED when all has been stored
 */
export async function deliver(
  parts: InboundParts,
  id: EnvelopeId,
  pacsName: string,
  signal: AbortSignal,
): Promise<void> {
  const reception = await parts.receptions.read(id);
  const outcome = reception?.pacs[pacsName];
  if (reception !== undefined && isDeliverable(reception) && outcome?.state === 'pending') {
    const pacs = parts.pacs.get(pacsName);
    if (pacs === undefined)
      throw new GatewayError('PACS_REFUSED', `there is no PACS ${pacsName} in the config`);
    if (pacs.paused) throw paused(pacs);
    await deliverTo(parts, pacs, reception, signal);
    await takeLateReports(parts, id, pacsName);
  }
  await settle(parts, id);
}

/** The latest outcome of each instance at one PACS. */
export async function readOutcomes(
  parts: InboundParts,
  id: EnvelopeId,
  pacsName: string,
): Promise<ReadonlyMap<string, JournalledOutcome>> {
  return (await readEarlierRuns(journalOf(parts, id, pacsName))).outcomes;
}

/**
 * When the last PACS has come to an end: all stored → delivered; else the sender is told what was refused.
 */
export async function settle(parts: InboundParts, id: EnvelopeId): Promise<void> {
  await enqueueNext(parts, await noteDelivered(parts, id));
}

/** The record, as delivered when every PACS has stored it. Whoever stored it last may have died before it said so. */
export function noteDelivered(parts: InboundParts, id: EnvelopeId): Promise<Reception> {
  return parts.receptions.update(id, (record) => {
    const outcomes = Object.values(record.pacs);
    const isStored = outcomes.length > 0 && outcomes.every((outcome) => outcome.state === 'stored');
    return record.progress === 'verified' && isStored
      ? advanceReception(record, { type: 'delivered' }, parts.clock.now())
      : record;
  });
}

/** Costs no attempt: it is our own config that says so, and the next start may say otherwise. */
function paused({ name }: Pacs): GatewayError {
  return new GatewayError('PACS_PAUSED', `sending to ${name} is paused in the config`, {
    facts: { retryAfterMs: PAUSED_LOOK_AGAIN_MS },
  });
}

function journalOf(parts: InboundParts, id: EnvelopeId, pacsName: string): string {
  return parts.receptions.documentPath(id, journalName(pacsName));
}

async function deliverTo(
  parts: InboundParts,
  pacs: Pacs,
  reception: Reception,
  signal: AbortSignal,
): Promise<void> {
  const { id } = reception;
  const all = await readOpenedInstances(parts, id);
  const earlier = await readEarlierRuns(journalOf(parts, id, pacs.name));
  const outcomes = new Map(earlier.outcomes);
  const retries = retriesOf(reception);
  const todo = all.filter(({ sopInstanceUid }) => isDue(outcomes.get(sopInstanceUid), retries));
  let busy: GatewayError | undefined;
  let unanswered: GatewayError | undefined;
  let shownAtMs = parts.clock.now();
  let sentBefore: Promise<ReadonlyMap<string, string>> | undefined;
  const journal = new OutcomeJournal(journalOf(parts, id, pacs.name), earlier);

  const note = async (outcome: StoreOutcome) => {
    if (outcome.result === 'unanswered') {
      unanswered ??=
        outcome.error ?? new GatewayError('STORE_UNANSWERED', 'the PACS did not answer a C-STORE');
      return;
    }
    if (outcome.error?.code === 'PACS_BUSY') {
      busy ??= outcome.error;
      return;
    }
    const answer = { ...toJournal(outcome, outcome.result, retries), ...converter?.outcomeOf(outcome) };
    if (isDuplicate(answer)) sentBefore ??= readSentBefore(parts, reception, journalName(pacs.name));
    const entry = repeated(answer, await sentBefore);
    outcomes.set(entry.sopInstanceUid, entry);
    await journal.note(entry);
    if (parts.clock.now() - shownAtMs < PROGRESS_EVERY_MS) return;
    shownAtMs = parts.clock.now();
    await journal.flush();
    await show(parts, id, pacs.name, summary(all, outcomes, 'pending'));
  };

  const converter = pacs.transcode
    ? openConverter(parts, id, todo, parts.log.child({ reception: id, pacs: pacs.name }))
    : undefined;
  try {
    const connect = parts.connectorTo(pacs);
    const folder = parts.layout.openedOf(id);
    const flag = uncachedFlag(folder);
    await storeInstances({
      pacs,
      callingAe: pacs.callingAe,
      instances: todo.map((instance) => ({
        ...outgoing(folder, flag, instance, pacs),
        mayBeThere: mayBeThere(earlier, instance.sopInstanceUid),
      })),
      ...(parts.pool === undefined ? {} : { pool: parts.pool }),
      ...(converter === undefined ? {} : { convert: converter.convert }),
      ...(connect === undefined ? {} : { connect }),
      signal,
      onSending: ({ sopInstanceUid }) => journal.sending(sopInstanceUid),
      onOutcome: note,
      log: parts.log,
    });
  } finally {
    await journal.end().finally(() => converter?.close());
  }
  const failure = busy ?? unanswered;
  const refusals = describeRefusals(all, outcomes);
  const end: PacsOutcome = {
    ...summary(all, outcomes, failure === undefined ? undefined : 'pending'),
    ...(refusals === undefined
      ? {}
      : { lastError: { ...refusals, stage: 'deliver', atMs: parts.clock.now(), attempt: 0 } }),
  };
  if (end.state === 'stored') {
    await show(parts, id, pacs.name, { ...end, state: 'pending' });
    const uncommitted = uncommittedOf(parts, reception, pacs.name, all, outcomes);
    if (!(await commitStored(parts, id, pacs, uncommitted, signal))) return;
  }
  await show(parts, id, pacs.name, end);
  const counts = { stored: end.storedCount, refused: end.refusedCount };
  const told = { event: 'study.delivered', reception: id, pacs: pacs.name, ...counts } as const;
  if (refusals === undefined) parts.log.info(told);
  else parts.log.warn({ ...told, code: refusals.code }, refusals.message);
  if (failure !== undefined) throw failure;
}

/** The journal of outcomes, as far as commitment goes. */
function uncommittedOf(
  parts: InboundParts,
  reception: Reception,
  pacsName: string,
  all: readonly OpenedInstance[],
  outcomes: Map<string, JournalledOutcome>,
): Uncommitted {
  const { id } = reception;
  const refused = {
    result: 'refused',
    code: 'COMMITMENT_FAILED',
    reason: 'PACS does not commit to it',
    retries: retriesOf(reception),
  } as const;
  return {
    list: () => all.filter(({ sopInstanceUid }) => outcomes.get(sopInstanceUid)?.committed !== true),
    async note(committed, failed) {
      const entries = [
        ...committed.flatMap(({ sopInstanceUid }) => {
          const outcome = outcomes.get(sopInstanceUid);
          return outcome === undefined ? [] : [{ ...outcome, committed: true } as const];
        }),
        ...failed.map(({ sopInstanceUid }) => ({ sopInstanceUid, ...refused })),
      ];
      for (const entry of entries) outcomes.set(entry.sopInstanceUid, entry);
      await appendJournal(journalOf(parts, id, pacsName), entries);
      await show(parts, id, pacsName, summary(all, outcomes, 'pending'));
    },
  };
}

async function show(parts: InboundParts, id: EnvelopeId, name: string, outcome: PacsOutcome): Promise<void> {
  await parts.receptions.update(id, (record) =>
    isDeliverable(record)
      ? advanceReception(record, { type: 'pacs', name, outcome }, parts.clock.now())
      : record,
  );
}

/** @param state known beforehand; else it follows from the counts */
function summary(
  all: readonly OpenedInstance[],
  outcomes: ReadonlyMap<string, JournalledOutcome>,
  state: PacsOutcome['state'] | undefined,
): PacsOutcome {
  const own = all.map((instance) => outcomes.get(instance.sopInstanceUid));
  const storedCount = own.filter(isThere).length;
  const refusedCount = own.filter((outcome) => outcome?.result === 'refused').length;
  const convertedCount = own.filter((outcome) => isThere(outcome) && outcome?.converted !== undefined).length;
  return {
    state: state ?? (storedCount === all.length ? 'stored' : 'refused'),
    storedCount,
    refusedCount,
    ...(convertedCount === 0 ? {} : { convertedCount }),
  };
}

function isThere(outcome: JournalledOutcome | undefined): boolean {
  return outcome?.result === 'stored' || outcome?.result === 'warning';
}

/** How often an operator has said "again". */
function retriesOf({ steps }: Reception): number {
  return steps.filter(({ event }) => event === 'retried').length;
}

/** It is not there, and has not been refused since an operator last said "again". */
function isDue(outcome: JournalledOutcome | undefined, retries: number): boolean {
  return outcome?.result === 'refused' ? (outcome.retries ?? 0) < retries : !isThere(outcome);
}

/** A duplicate of the very bytes that went there in another envelope is no refusal. */
function repeated(
  answer: JournalledOutcome,
  sentBefore: ReadonlyMap<string, string> | undefined,
): JournalledOutcome {
  const { code: _code, reason: _reason, retries: _retries, ...rest } = answer;
  const isSame = rest.sha256 !== undefined && sentBefore?.get(rest.sopInstanceUid) === rest.sha256;
  return isDuplicate(answer) && isSame ? { ...rest, result: 'warning' } : answer;
}

function toJournal(
  outcome: StoreOutcome,
  result: JournalledOutcome['result'],
  retries: number,
): JournalledOutcome {
  return {
    sopInstanceUid: outcome.sopInstanceUid,
    result,
    ...(outcome.status === undefined ? {} : { status: formatStatus(outcome.status) }),
    ...(outcome.sha256 === '' ? {} : { sha256: outcome.sha256 }),
    ...(outcome.error === undefined
      ? {}
      : { code: outcome.error.code, reason: outcome.error.message, retries }),
  };
}

function outgoing(folder: string, flag: number, instance: OpenedInstance, pacs: Pacs): OutgoingInstance {
  const path = join(folder, instance.file);
  const { sendingAe } = instance;
  return {
    ...(pacs.passCallingAe && sendingAe !== undefined ? { callingAe: sendingAe } : {}),
    sopClassUid: instance.sopClassUid,
    sopInstanceUid: instance.sopInstanceUid,
    transferSyntaxUid: instance.transferSyntaxUid,
    sizeBytes: instance.dataSetBytes,
    open: (into) =>
      readPieces(path, instance.dataSetOffset, into, instance.dataSetBytes < MIN_UNCACHED_BYTES ? 0 : flag),
  };
}

/**
 * deliver: opened study → one PACS, by C-STORE. Every instance gets its outcome, journalled as it comes, so that a
 * restart sends only what is not yet answered; an instance that was stored but not noted is sent again, which a PACS
 * recognises. Each PACS has a job of its own: a dead one delays no other.
 */
import { join } from 'node:path';
import { formatStatus } from '../dicom/store-status.js';
import { type OutgoingInstance, type StoreOutcome, storeInstances } from '../dimse/store-scu.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Pacs } from '../domain/peer.js';
import { advanceReception, type PacsOutcome, type Reception } from '../domain/reception.js';
import { GatewayError } from '../errors/gateway-error.js';
import { readPieces } from '../spool/file-pieces.js';
import { appendJournal, readJournal } from '../spool/journal.js';
import { commitStored, type Uncommitted } from './commitment.js';
import { openConverter } from './convert.js';
import type { OpenedInstance } from './inspect-instances.js';
import { OutcomeJournal } from './outcome-journal.js';
import { enqueueNext, type InboundParts } from './parts.js';
import { readOpenedInstances } from './verify.js';

/** One answered C-STORE, as it stands in the journal. */
export interface JournalledOutcome {
  readonly sopInstanceUid: string;
  readonly result: 'stored' | 'warning' | 'refused';
  /** e.g. `0x0000`; absent when no presentation context was accepted. */
  readonly status?: string;
  /** Of the data set as its sender sealed it, and as it went out unless it was converted. */
  readonly sha256?: string;
  /** It went out in another transfer syntax, `to`, converted without loss; and the SHA-256 of what went out. */
  readonly converted?: { readonly from: string; readonly to: string; readonly sha256: string };
  readonly code?: string;
  /** The PACS has committed to it. */
  readonly committed?: true;
}

/** The record shows progress about this often. */
const PROGRESS_EVERY_MS = 1_000;
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
  if (reception?.progress === 'verified' && reception.pacs[pacsName]?.state === 'pending') {
    const pacs = parts.pacs.get(pacsName);
    if (pacs === undefined)
      throw new GatewayError('PACS_REFUSED', `there is no PACS ${pacsName} in the config`);
    if (pacs.paused) throw paused(pacs);
    await deliverTo(parts, pacs, reception, signal);
  }
  await settle(parts, id);
}

/** The latest outcome of each instance at one PACS. */
export async function readOutcomes(
  parts: InboundParts,
  id: EnvelopeId,
  pacsName: string,
): Promise<ReadonlyMap<string, JournalledOutcome>> {
  const entries = await readJournal<JournalledOutcome>(journalOf(parts, id, pacsName));
  return new Map(entries.map((entry) => [entry.sopInstanceUid, entry]));
}

/**
 * When the last PACS has come to an end: all stored → delivered; else the sender is told what was refused.
 */
export async function settle(parts: InboundParts, id: EnvelopeId): Promise<void> {
  const settled = await parts.receptions.update(id, (record) => {
    const outcomes = Object.values(record.pacs);
    const done = record.progress === 'verified' && outcomes.every((outcome) => outcome.state === 'stored');
    return done ? advanceReception(record, { type: 'delivered' }, parts.clock.now()) : record;
  });
  await enqueueNext(parts, settled);
}

/** Costs no attempt: it is our own config that says so, and the next start may say otherwise. */
function paused({ name }: Pacs): GatewayError {
  return new GatewayError('PACS_PAUSED', `sending to ${name} is paused in the config`, {
    facts: { retryAfterMs: PAUSED_LOOK_AGAIN_MS },
  });
}

function journalOf(parts: InboundParts, id: EnvelopeId, pacsName: string): string {
  return parts.receptions.documentPath(id, `outcomes-${pacsName}.jsonl`);
}

async function deliverTo(
  parts: InboundParts,
  pacs: Pacs,
  reception: Reception,
  signal: AbortSignal,
): Promise<void> {
  const { id } = reception;
  const all = await readOpenedInstances(parts, id);
  const outcomes = new Map(await readOutcomes(parts, id, pacs.name));
  const todo = all.filter((instance) => !isThere(outcomes.get(instance.sopInstanceUid)));
  let busy: GatewayError | undefined;
  let unanswered: GatewayError | undefined;
  let shownAtMs = parts.clock.now();
  const journal = new OutcomeJournal(journalOf(parts, id, pacs.name));

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
    const entry = { ...toJournal(outcome, outcome.result), ...converter?.outcomeOf(outcome) };
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
    await storeInstances({
      pacs,
      callingAe: pacs.callingAe,
      instances: todo.map((instance) => outgoing(folder, instance, pacs)),
      ...(parts.pool === undefined ? {} : { pool: parts.pool }),
      ...(converter === undefined ? {} : { convert: converter.convert }),
      ...(connect === undefined ? {} : { connect }),
      signal,
      onOutcome: note,
      log: parts.log,
    });
  } finally {
    await journal.flush();
    await converter?.close();
  }
  const failure = busy ?? unanswered;
  const unconverted = converter?.failure();
  const end = {
    ...summary(all, outcomes, failure === undefined ? undefined : 'pending'),
    ...(unconverted === undefined ? {} : { lastError: lastErrorOf(unconverted, parts.clock.now()) }),
  };
  if (end.state === 'stored') {
    await show(parts, id, pacs.name, { ...end, state: 'pending' });
    const uncommitted = uncommittedOf(parts, id, pacs.name, all, outcomes);
    if (!(await commitStored(parts, id, pacs, uncommitted, signal))) return;
  }
  await show(parts, id, pacs.name, end);
  parts.log.info({
    event: 'study.delivered',
    reception: id,
    pacs: pacs.name,
    stored: end.storedCount,
    refused: end.refusedCount,
  });
  if (failure !== undefined) throw failure;
}

/** The journal of outcomes, as far as commitment goes. */
function uncommittedOf(
  parts: InboundParts,
  id: EnvelopeId,
  pacsName: string,
  all: readonly OpenedInstance[],
  outcomes: Map<string, JournalledOutcome>,
): Uncommitted {
  return {
    list: () => all.filter(({ sopInstanceUid }) => outcomes.get(sopInstanceUid)?.committed !== true),
    async note(committed, failed) {
      const entries = [
        ...committed.flatMap(({ sopInstanceUid }) => {
          const outcome = outcomes.get(sopInstanceUid);
          return outcome === undefined ? [] : [{ ...outcome, committed: true } as const];
        }),
        ...failed.map(
          ({ sopInstanceUid }) => ({ sopInstanceUid, result: 'refused', code: 'COMMITMENT_FAILED' }) as const,
        ),
      ];
      for (const entry of entries) outcomes.set(entry.sopInstanceUid, entry);
      await appendJournal(journalOf(parts, id, pacsName), entries);
      await show(parts, id, pacsName, summary(all, outcomes, 'pending'));
    },
  };
}

async function show(parts: InboundParts, id: EnvelopeId, name: string, outcome: PacsOutcome): Promise<void> {
  await parts.receptions.update(id, (record) =>
    record.progress === 'verified'
      ? advanceReception(record, { type: 'pacs', name, outcome }, parts.clock.now())
      : record,
  );
}

/** It is of the delivery as a whole; the operator sees it beside the count of what was refused. */
function lastErrorOf({ code, message }: GatewayError, atMs: number): NonNullable<PacsOutcome['lastError']> {
  return { code, message, stage: 'deliver', atMs, attempt: 1 };
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

function toJournal(outcome: StoreOutcome, result: JournalledOutcome['result']): JournalledOutcome {
  return {
    sopInstanceUid: outcome.sopInstanceUid,
    result,
    ...(outcome.status === undefined ? {} : { status: formatStatus(outcome.status) }),
    ...(outcome.sha256 === '' ? {} : { sha256: outcome.sha256 }),
    ...(outcome.error === undefined ? {} : { code: outcome.error.code }),
  };
}

function outgoing(folder: string, instance: OpenedInstance, pacs: Pacs): OutgoingInstance {
  const path = join(folder, instance.file);
  const { sendingAe } = instance;
  return {
    ...(pacs.passCallingAe && sendingAe !== undefined ? { callingAe: sendingAe } : {}),
    sopClassUid: instance.sopClassUid,
    sopInstanceUid: instance.sopInstanceUid,
    transferSyntaxUid: instance.transferSyntaxUid,
    sizeBytes: instance.dataSetBytes,
    open: (into) => readPieces(path, instance.dataSetOffset, into),
  };
}

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
import { readBytesFrom } from '../spool/instance-file.js';
import { appendJournal, readJournal } from '../spool/journal.js';
import type { OpenedInstance } from './inspect-instances.js';
import { enqueueNext, type InboundParts } from './parts.js';
import { readOpenedInstances } from './verify.js';

/** One answered C-STORE, as it stands in the journal. */
export interface JournalledOutcome {
  readonly sopInstanceUid: string;
  readonly result: 'stored' | 'warning' | 'refused';
  /** e.g. `0x0000`; absent when no presentation context was accepted. */
  readonly status?: string;
  /** Of the data set bytes as they went out. */
  readonly sha256?: string;
  readonly code?: string;
}

/** The record shows progress about this often. */
const PROGRESS_EVERY_MS = 1_000;

/** @throws PACS_UNREACHABLE, PACS_BUSY, PACS_REFUSED (the association), STORE_UNANSWERED */
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
    const entry = toJournal(outcome, outcome.result);
    outcomes.set(entry.sopInstanceUid, entry);
    await appendJournal(journalOf(parts, id, pacs.name), [entry]);
    if (parts.clock.now() - shownAtMs < PROGRESS_EVERY_MS) return;
    shownAtMs = parts.clock.now();
    await show(parts, id, pacs.name, summary(all, outcomes, 'pending'));
  };

  await storeInstances({
    pacs,
    callingAe: pacs.callingAe,
    instances: todo.map((instance) => outgoing(join(parts.layout.openedOf(id), instance.file), instance)),
    signal,
    onOutcome: note,
    log: parts.log,
  });
  const failure = busy ?? unanswered;
  const end = summary(all, outcomes, failure === undefined ? undefined : 'pending');
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

async function show(parts: InboundParts, id: EnvelopeId, name: string, outcome: PacsOutcome): Promise<void> {
  await parts.receptions.update(id, (record) =>
    record.progress === 'verified'
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
  return { state: state ?? (storedCount === all.length ? 'stored' : 'refused'), storedCount, refusedCount };
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

function outgoing(path: string, instance: OpenedInstance): OutgoingInstance {
  return {
    sopClassUid: instance.sopClassUid,
    sopInstanceUid: instance.sopInstanceUid,
    transferSyntaxUid: instance.transferSyntaxUid,
    sizeBytes: instance.dataSetBytes,
    open: () => readBytesFrom(path, instance.dataSetOffset),
  };
}

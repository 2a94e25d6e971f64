/** Where asking one PACS to commit to one delivery stands, as the reception's record has it. */
import type { FailedReference, InstanceReference } from '../domain/commitment.js';
import { describeFailures } from '../domain/commitment.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Pacs } from '../domain/peer.js';
import { advanceReception, isDeliverable, type PacsCommitment } from '../domain/reception.js';
import type { InboundParts } from './parts.js';

/** Instances that the PACS has answered for by C-STORE, and not yet committed to. */
export interface Uncommitted {
  /** Those that are not committed to by now. */
  list(): readonly InstanceReference[];
  /** Journals what a report says. */
  note(committed: readonly InstanceReference[], failed: readonly FailedReference[]): Promise<void>;
}

export interface Commitment {
  readonly parts: InboundParts;
  readonly id: EnvelopeId;
  readonly pacs: Pacs;
  readonly uncommitted: Uncommitted;
  readonly signal: AbortSignal;
}

export async function commitmentOf({ parts, id, pacs }: Commitment): Promise<PacsCommitment | undefined> {
  return (await parts.receptions.read(id))?.pacs[pacs.name]?.commitment;
}

/** Since the PACS was asked first, or an operator said "again"; 0 when it has not been asked. */
export async function waitedMs(commitment: Commitment): Promise<number> {
  const nowMs = commitment.parts.clock.now();
  return nowMs - ((await commitmentOf(commitment))?.askedAtMs ?? nowMs);
}

export async function openTransactions(commitment: Commitment): Promise<readonly EnvelopeId[]> {
  return (await commitmentOf(commitment))?.transactions ?? [];
}

export async function noteCommitment(
  { parts, id, pacs }: Commitment,
  change: (before: PacsCommitment) => Omit<PacsCommitment, 'atMs'>,
): Promise<void> {
  const atMs = parts.clock.now();
  await parts.receptions.update(id, (record) => {
    const outcome = record.pacs[pacs.name];
    if (!isDeliverable(record) || outcome === undefined) return record;
    const commitment = { ...change(outcome.commitment ?? { state: 'asked', atMs }), atMs };
    return advanceReception(record, { type: 'commitment', name: pacs.name, commitment }, atMs);
  });
}

/** For people: `main does not commit to 1 instance: 0x0112 no such instance (1)` */
export function describeUncommitted(pacsName: string, failed: readonly FailedReference[]): string {
  const what = failed.length === 1 ? '1 instance' : `${failed.length} instances`;
  return `${pacsName} does not commit to ${what}: ${describeFailures(failed)}`;
}

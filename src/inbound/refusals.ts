/** What a PACS refused of a study, in words: which status, how often, for what kind of instance, and what helps. */
import { sopClassName } from '../dicom/sop-classes.js';
import { DUPLICATE_SOP_INSTANCE, formatStatus } from '../dicom/store-status.js';
import type { LastError } from '../domain/parking.js';
import type { OpenedInstance } from './inspect-instances.js';
import type { JournalledOutcome } from './outcome-journal.js';

/** Kinds of refusal that are named; the rest are counted. */
const NAMED = 3;

/** The code is that of the first refusal. @returns undefined when nothing was refused */
export function describeRefusals(
  all: readonly OpenedInstance[],
  outcomes: ReadonlyMap<string, JournalledOutcome>,
): Pick<LastError, 'code' | 'message'> | undefined {
  const kinds = new Map<string, number>();
  let first: JournalledOutcome | undefined;
  let refused = 0;
  let isAnyDuplicate = false;
  for (const { sopInstanceUid, sopClassUid } of all) {
    const outcome = outcomes.get(sopInstanceUid);
    if (outcome?.result !== 'refused') continue;
    refused += 1;
    first ??= outcome;
    isAnyDuplicate ||= isDuplicate(outcome);
    const kind = `${outcome.reason ?? outcome.status ?? outcome.code ?? 'no reason is known'} (${sopClassName(sopClassUid)}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  if (first === undefined) return undefined;
  const words = [...kinds].slice(0, NAMED).map(([kind, count]) => `${kind}, ${count})`);
  if (kinds.size > NAMED) words.push(`and ${kinds.size - NAMED} more kinds of refusal`);
  if (isAnyDuplicate) {
    words.push('compare what the PACS has; after a retry, what it has already counts as delivered');
  }
  return {
    code: first.code ?? 'PACS_REFUSED',
    message: `${refused} of ${all.length} instances were refused: ${words.join('; ')}`,
  };
}

/** The PACS has an object of this UID, and did not take ours. */
export function isDuplicate({ result, status }: JournalledOutcome): boolean {
  return result === 'refused' && status === formatStatus(DUPLICATE_SOP_INSTANCE);
}

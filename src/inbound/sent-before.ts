/**
 * What this bridge sent to a PACS in other envelopes of the same study: a sender may seal a study anew, or two may send the
 * same images. A PACS that then answers "duplicate" has what it was asked to take. Looked up only after such an answer.
 */
import type { Reception } from '../domain/reception.js';
import { type JournalledOutcome, readEarlierRuns } from './outcome-journal.js';
import type { InboundParts } from './parts.js';

/** The SHA-256 of what the PACS took, as sealed, by SOP Instance UID; of each the latest. */
export async function readSentBefore(
  parts: Pick<InboundParts, 'receptions'>,
  { id: ownId, studyInstanceUid }: Reception,
  journalName: string,
): Promise<ReadonlyMap<string, string>> {
  const taken = new Map<string, string>();
  for (const id of await parts.receptions.ids()) {
    if (id === ownId || (await parts.receptions.read(id))?.studyInstanceUid !== studyInstanceUid) continue;
    const { outcomes } = await readEarlierRuns(parts.receptions.documentPath(id, journalName));
    for (const outcome of outcomes.values()) {
      if (isTaken(outcome) && outcome.sha256 !== undefined) taken.set(outcome.sopInstanceUid, outcome.sha256);
    }
  }
  return taken;
}

function isTaken({ result }: JournalledOutcome): boolean {
  return result === 'stored' || result === 'warning';
}

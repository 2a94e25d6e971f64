/** The lines of `drawbridge status` about storage commitment; none where there is nothing to tell. */
import type { CommitmentView } from '../http/commitment-ports.js';
import type { ReceptionView } from '../http/ports.js';

/** What the PACS said to what we asked of them, as far as the list reaches. */
const WORDS = {
  asked: 'not reported yet',
  committed: 'committed to',
  failed: 'not committed to',
  'not-offered': 'without, because it takes no part',
  unreported: 'without, because it did not report',
} as const;

export function describeCommitment(
  asked: CommitmentView | undefined,
  receptions: readonly ReceptionView[],
): readonly string[] {
  return [...describeAsked(asked), ...describePacs(receptions)].map((line) => `commitment  ${line}`);
}

function describeAsked(asked: CommitmentView | undefined): readonly string[] {
  if (asked === undefined) return [];
  const undecided =
    asked.undecidedCount === 0 ? [] : [`${asked.undecidedCount} asked by modalities, waiting for receipts`];
  return [
    ...undecided,
    ...asked.untold.map(({ callingAe, requestCount, sinceMs, message }) => {
      const since = new Date(sinceMs).toISOString();
      const why = message ?? 'its dimse.callers entry has no reportTo; it is told when it next connects';
      return `${callingAe} could not be told about ${requestCount} since ${since}: ${why}`;
    }),
  ];
}

function describePacs(receptions: readonly ReceptionView[]): readonly string[] {
  const counts = new Map<string, Map<string, number>>();
  for (const [name, { commitment }] of receptions.flatMap(({ pacs }) => Object.entries(pacs))) {
    if (commitment === undefined) continue;
    const ofPacs = counts.get(name) ?? new Map<string, number>();
    const word = WORDS[commitment.state];
    counts.set(name, ofPacs.set(word, (ofPacs.get(word) ?? 0) + 1));
  }
  return [...counts].map(
    ([name, words]) => `PACS ${name}: ${[...words].map(([word, count]) => `${count} ${word}`).join(', ')}`,
  );
}

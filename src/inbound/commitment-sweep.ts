/** Forgets transactions that no report is expected for any more. What came of them stands in the receptions. */
import { discardFolder } from '../spool/envelope-store.js';
import type { InboundParts } from './parts.js';

/** Far longer than any PACS takes to report. */
const KEEP_MS = 30 * 86_400_000;

/** @returns the number of transactions forgotten */
export async function sweepTransactions(parts: InboundParts): Promise<number> {
  let forgotten = 0;
  for (const id of await parts.transactions.ids()) {
    const transaction = await parts.transactions.read(id);
    const isOld = parts.clock.now() - (transaction?.createdAtMs ?? 0) > KEEP_MS;
    if (transaction === undefined || !isOld) continue;
    await discardFolder(parts.layout, parts.transactions.documentPath(id, '.'));
    forgotten += 1;
  }
  return forgotten;
}

/**
 * Which PACS have lately said that they take no part in storage commitment, so that not every study costs an association
 * to hear it again. In memory, for each process; one entry for each PACS of the config.
 */

/** An engineer who has just entered us at the PACS need not wait long. */
const REMEMBER_MS = 10 * 60_000;

export class CommitmentMemory {
  readonly #refusals = new Map<string, { readonly words: string; readonly atMs: number }>();

  remember(pacsName: string, words: string, nowMs: number): void {
    this.#refusals.set(pacsName, { words, atMs: nowMs });
  }

  /** What it said; undefined when that is unknown, or too long ago. */
  refusalOf(pacsName: string, nowMs: number): string | undefined {
    const refusal = this.#refusals.get(pacsName);
    return refusal === undefined || nowMs - refusal.atMs >= REMEMBER_MS ? undefined : refusal.words;
  }
}

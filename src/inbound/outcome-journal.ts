/**
 * The journal of outcomes at one PACS, written while they come. Many share one write: what a crash loses of the last of
 * them is sent again, which a PACS recognises.
 */
import { appendJournal } from '../spool/journal.js';

const MAX_WAITING = 256;
/** So old an outcome may be before it is written. */
const MAX_WAIT_MS = 200;

export class OutcomeJournal {
  readonly #path: string;
  #waiting: unknown[] = [];
  #sinceMs = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** Takes an entry, and writes those that wait when it is time. @throws the errno of the write */
  async note(entry: unknown): Promise<void> {
    if (this.#waiting.length === 0) this.#sinceMs = performance.now();
    this.#waiting.push(entry);
    const isDue = this.#waiting.length >= MAX_WAITING || performance.now() - this.#sinceMs >= MAX_WAIT_MS;
    if (isDue) await this.flush();
  }

  /** Writes all that wait. @throws the errno of the write */
  async flush(): Promise<void> {
    const entries = this.#waiting;
    this.#waiting = [];
    this.#writing = this.#writing.then(() => appendJournal(this.#path, entries));
    await this.#writing;
  }
}

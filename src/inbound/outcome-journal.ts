/**
 * The journal of outcomes at one PACS, written while they come. Many share one write: what a crash loses of the last of
 * them is sent again, which a PACS recognises. Whether an instance was sent before decides what that answer means (0x0111,
 * Duplicate SOP Instance), so a run says durably that it begins before its first instance goes out, and that it ends after
 * its last outcome is noted: of a run that did not end, nobody knows what went out.
 */
import type { ErrorCode } from '../errors/codes.js';
import { appendJournal, appendJournalDurably, readJournal } from '../spool/journal.js';

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
  readonly code?: ErrorCode;
  /** Why it was refused, in words. */
  readonly reason?: string;
  /** How often an operator had said "again" when it was refused. */
  readonly retries?: number;
  /** The PACS has committed to it. */
  readonly committed?: true;
}

/** It went out, and its outcome is still to come. */
interface Tried {
  readonly sopInstanceUid: string;
  readonly result: 'tried';
}

interface RunMark {
  readonly run: 'begun' | 'ended';
  /** A run before it did not end, which a line that a crash tore may hide. */
  readonly isAnyUnknown?: true;
}

/** What is known of a delivery from its earlier runs. */
export interface EarlierRuns {
  /** The latest outcome of each instance. */
  readonly outcomes: ReadonlyMap<string, JournalledOutcome>;
  /** Instances that went out, with an outcome or without. */
  readonly sent: ReadonlySet<string>;
  /** A run did not end: any other instance may have gone out as well. */
  readonly isAnyUnknown: boolean;
}

/** The journal's document beside the reception's record. */
export function journalName(pacsName: string): string {
  return `outcomes-${pacsName}.jsonl`;
}

/** An earlier C-STORE of this instance may have been taken. */
export function mayBeThere({ sent, isAnyUnknown }: EarlierRuns, sopInstanceUid: string): boolean {
  return isAnyUnknown || sent.has(sopInstanceUid);
}

export async function readEarlierRuns(path: string): Promise<EarlierRuns> {
  const outcomes = new Map<string, JournalledOutcome>();
  const sent = new Set<string>();
  let isOpen = false;
  let isAnyUnknown = false;
  for (const line of await readJournal<JournalledOutcome | Tried | RunMark>(path)) {
    if ('run' in line) {
      isAnyUnknown ||= line.isAnyUnknown === true || (isOpen && line.run === 'begun');
      isOpen = line.run === 'begun';
    } else if (line.result === 'tried') {
      sent.add(line.sopInstanceUid);
    } else {
      outcomes.set(line.sopInstanceUid, line);
      if (line.status !== undefined) sent.add(line.sopInstanceUid);
    }
  }
  return { outcomes, sent, isAnyUnknown: isAnyUnknown || isOpen };
}

const MAX_WAITING = 256;
/** So old an outcome may be before it is written. */
const MAX_WAIT_MS = 200;

export class OutcomeJournal {
  readonly #path: string;
  readonly #earlier: EarlierRuns;
  #waiting: (JournalledOutcome | Tried | RunMark)[] = [];
  #sinceMs = 0;
  #writing: Promise<void> = Promise.resolve();
  #beginning: Promise<void> | undefined;
  #hasBegun = false;
  /** Sent in this run, and without an outcome. */
  readonly #open = new Set<string>();

  constructor(path: string, earlier: EarlierRuns) {
    this.#path = path;
    this.#earlier = earlier;
  }

  /**
   * Before an instance goes out: the first waits until the disk knows that the run has begun, the others for nothing.
   * @throws the errno
   */
  sending(sopInstanceUid: string): Promise<void> | undefined {
    this.#open.add(sopInstanceUid);
    this.#beginning ??= this.#begin();
    return this.#hasBegun ? undefined : this.#beginning;
  }

  /** Takes an outcome, and writes those that wait when it is time. @throws the errno of the write */
  async note(entry: JournalledOutcome): Promise<void> {
    this.#open.delete(entry.sopInstanceUid);
    if (this.#waiting.length === 0) this.#sinceMs = performance.now();
    this.#waiting.push(entry);
    const isDue = this.#waiting.length >= MAX_WAITING || performance.now() - this.#sinceMs >= MAX_WAIT_MS;
    if (isDue) await this.flush();
  }

  /** Writes all that wait. After a write that failed it writes nothing more. @throws the errno of the write */
  async flush(): Promise<void> {
    const entries = this.#waiting;
    this.#waiting = [];
    await this.#write((path) => appendJournal(path, entries));
  }

  /** Nothing is under way any more: writes what waits, and what went out without an outcome. @throws the errno */
  async end(): Promise<void> {
    for (const sopInstanceUid of this.#open) {
      if (!mayBeThere(this.#earlier, sopInstanceUid)) this.#waiting.push({ sopInstanceUid, result: 'tried' });
    }
    if (this.#beginning !== undefined) {
      this.#waiting.push({ run: 'ended', ...(this.#earlier.isAnyUnknown ? { isAnyUnknown: true } : {}) });
    }
    await this.flush();
  }

  async #begin(): Promise<void> {
    await this.#write((path) => appendJournalDurably(path, [{ run: 'begun' }]));
    this.#hasBegun = true;
  }

  #write(append: (path: string) => Promise<void>): Promise<void> {
    this.#writing = this.#writing.then(() => append(this.#path));
    return this.#writing;
  }
}

/**
 * What committing instances to one study keeps open: the study's folder, for its fsync, and its journal, which is
 * written behind. What the journal lacks after a crash is read from the files themselves.
 */
import { constants } from 'node:fs';
import { hasOrderedJournal } from '../disk/ordered-journal.mjs';
import { formatJournal } from './journal.js';
import { type OpenFile, openFile } from './open-file.js';
import type { LateHash } from './reception-log.js';
import { noteLater, scribeIsIdle } from './scribe.js';
import type { StagedFile } from './staged-file.js';
import type { PlaceFolder } from './staging-place.js';

export class StudyWriter {
  readonly #opening: Promise<readonly [folder: OpenFolder, journal: OpenFile]>;
  #users = 0;
  #isBroken = false;

  constructor(folder: string, journalPath: string) {
    this.#opening = openBoth(folder, journalPath);
    this.#opening.catch(() => {
      this.#isBroken = true;
    });
  }

  /** Its files could not be opened; another one may succeed. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Nothing of it is under way. */
  get isIdle(): boolean {
    return this.#users === 0;
  }

  /**
   * Makes a staged file durable and gives it its name in the folder, never replacing one that stands there. The staged
   * file is gone in every case. Resolves to false when the name is taken.
   * @param hashed is told its SHA-256, as `StagedFile.place` says
   * @throws the disk's errors
   */
  place(staged: StagedFile, to: string, hashed: LateHash['done']): Promise<boolean> {
    return this.#use(([folder]) => staged.place(to, folder, hashed));
  }

  /** Writes an entry into the journal, some time later. What cannot be written is derived again. */
  note(entry: unknown): Promise<void> {
    const line = formatJournal([entry]).toString();
    return this.#use(([, { descriptor }]) => noteLater(descriptor, line)).catch(() => undefined);
  }

  async #use<T>(act: (opened: readonly [OpenFolder, OpenFile]) => T | Promise<T>): Promise<T> {
    this.#users += 1;
    try {
      return await act(await this.#opening);
    } finally {
      this.#users -= 1;
    }
  }

  /** Nobody may be using it. */
  async close(): Promise<void> {
    await scribeIsIdle();
    for (const file of await this.#opening.catch(() => [])) await file.close().catch(() => undefined);
  }
}

type OpenFolder = OpenFile & PlaceFolder;

async function openBoth(folder: string, journalPath: string): Promise<readonly [OpenFolder, OpenFile]> {
  const isOrdered = hasOrderedJournal(folder);
  const opened = await openFile(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return [{ ...opened, isOrdered }, await openFile(journalPath, 'a')];
  } catch (error) {
    await opened.close();
    throw error;
  }
}

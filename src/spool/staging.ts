/**
 * Where bytes wait on their way in until they are committed: instances that come one after the other go into the reception
 * log, while it has room; all others into files of their own.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { classifyDiskError } from './atomic.js';
import { recoverInTime } from './late-recovery.js';
import type { Layout } from './layout.js';
import type { Unfiled } from './logged-file.js';
import { createNewFile, type NewFile } from './new-file.js';
import { createReadyFiles } from './ready-files.js';
import { openReceptionLog, type ReceptionLog } from './reception-log.js';
import { createStagedFile, type StagedFile } from './staged-file.js';
import { placeInFile, placeInLog } from './staging-place.js';
import type { Tell } from './study-folder.js';

const NOTHING_UNFILED: Unfiled = { files: new Map(), letGo: () => undefined };

export interface Staging {
  /** For one of which no other follows. @throws SPOOL_WRITE_FAILED */
  stage(prefix: Buffer): Promise<StagedFile>;
  /** For one of many. @throws SPOOL_WRITE_FAILED */
  stageNext(prefix: Buffer): Promise<StagedFile>;
  /** All that was placed before, of one study or of all, can be read by its name. @throws SPOOL_WRITE_FAILED */
  settled(studyKey?: string): Promise<void>;
  /** What was placed of a study and cannot be read by its name yet. */
  unfiled(studyKey: string): Unfiled;
  /** Whether this study lacks files of instances that the last run has committed: the disk has not taken them yet. */
  lacks(studyKey: string): boolean;
  /** Nothing is to be placed afterwards. */
  close(): Promise<void>;
}

/**
 * Wipes what was half-received, and gives their files to instances that were committed and have none.
 * @param logMegabytes room on the disk for the reception log; 0: there is none
 * @param recovered told which studies have no lack of files any more, where a full disk has kept the start from that
 */
export async function openStaging(
  layout: Layout,
  tell: Tell,
  logMegabytes: number,
  recovered: (studyKeys: ReadonlySet<string>) => Promise<unknown> = () => Promise.resolve(),
): Promise<Staging> {
  await wipe(layout.incoming);
  await wipe(layout.ready);
  let log: ReceptionLog | undefined;
  const recovery = await recoverInTime(layout, tell, recovered, async () => {
    log = await openReceptionLog(layout, logMegabytes, tell);
  });
  const readyFiles = createReadyFiles(layout.ready);

  const stage = async (file: Promise<NewFile>, prefix: Buffer): Promise<StagedFile> => {
    try {
      return createStagedFile(placeInFile(await file, prefix.length), prefix);
    } catch (error) {
      throw classifyDiskError(error);
    }
  };

  return {
    stage: (prefix) => stage(createNewFile(layout.incoming), prefix),
    async stageNext(prefix) {
      const logged = log?.begin();
      if (logged === undefined) return stage(readyFiles.take(), prefix);
      return createStagedFile(
        placeInLog(logged, prefix.length, () => readyFiles.take()),
        prefix,
      );
    },
    settled: async (studyKey) => log?.settled(studyKey),
    unfiled: (studyKey) => log?.unfiled(studyKey) ?? NOTHING_UNFILED,
    lacks: recovery.lacks,
    async close() {
      await recovery.stop();
      await log?.close();
      await readyFiles.close();
    },
  };
}

async function wipe(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true, force: true });
}

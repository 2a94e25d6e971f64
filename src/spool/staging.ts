/**
 * Where bytes wait on their way in until they are committed: instances that come one after the other go into the reception
 * log, while it has room; all others into files of their own.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { classifyDiskError } from './atomic.js';
import type { Layout } from './layout.js';
import { recoverReceptionLog } from './log-recovery.js';
import { createNewFile, type NewFile } from './new-file.js';
import { createReadyFiles } from './ready-files.js';
import { openReceptionLog } from './reception-log.js';
import { createStagedFile, type StagedFile } from './staged-file.js';
import { placeInFile, placeInLog } from './staging-place.js';
import type { Tell } from './study-folder.js';

export interface Staging {
  /** For one of which no other follows. @throws SPOOL_WRITE_FAILED */
  stage(prefix: Buffer): Promise<StagedFile>;
  /** For one of many. @throws SPOOL_WRITE_FAILED */
  stageNext(prefix: Buffer): Promise<StagedFile>;
  /** All that was placed before can be read by its name. @throws SPOOL_WRITE_FAILED */
  settled(): Promise<void>;
  /** Nothing is to be placed afterwards. */
  close(): Promise<void>;
}

/**
 * Wipes what was half-received, and gives their files to instances that were committed and have none.
 * @param logMegabytes room on the disk for the reception log; 0: there is none
 */
export async function openStaging(layout: Layout, tell: Tell, logMegabytes: number): Promise<Staging> {
  await wipe(layout.incoming);
  await wipe(layout.ready);
  const log = (await isLogRecovered(layout, tell))
    ? await openReceptionLog(layout, logMegabytes, tell)
    : undefined;
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
    settled: async () => log?.settled(),
    async close() {
      await log?.close();
      await readyFiles.close();
    },
  };
}

/** Otherwise it stays as it is, for the next start: those who sent what it holds believe it to be here. */
async function isLogRecovered(layout: Layout, tell: Tell): Promise<boolean> {
  try {
    await recoverReceptionLog(layout, tell);
    return true;
  } catch (error) {
    tell(classifyDiskError(error));
    return false;
  }
}

async function wipe(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true, force: true });
}

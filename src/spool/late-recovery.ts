/**
 * What the reception log holds of the last run, at a start on a disk that takes no files: everything else goes on, and the
 * files are made as soon as the disk takes them. Whoever sent them believes them to be here, so their studies are neither
 * completed nor added to before; and nothing is written to the log.
 */
import { classifyDiskError } from './atomic.js';
import type { Layout } from './layout.js';
import { type Recovery, readReceptionLog } from './log-recovery.js';
import type { Tell } from './study-folder.js';

const RETRY_MS = 2_000;
const NONE: ReadonlySet<string> = new Set();

export interface LateRecovery {
  /** Whether this study lacks files of instances that were committed. */
  lacks(studyKey: string): boolean;
  /** Leaves what is still missing to the next start. */
  stop(): Promise<void>;
}

/**
 * Resolves after the first try, which it tells of when it fails.
 * @param recovered told, if that was not at once, which studies have all their files now; it may be told again if it rejects
 * @param emptied the log says nothing any more
 */
export async function recoverInTime(
  layout: Layout,
  tell: Tell,
  recovered: (studyKeys: ReadonlySet<string>) => Promise<unknown>,
  emptied: () => Promise<void>,
): Promise<LateRecovery> {
  let recovery: Recovery | undefined;
  let lacking = NONE;
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();

  const letGo = () => {
    recovery?.close();
    recovery = undefined;
    lacking = NONE;
  };
  const again = async (): Promise<void> => {
    try {
      await recovery?.restore();
      await recovered(lacking);
    } catch {
      // It was told at the start.
      later();
      return;
    }
    letGo();
    await emptied();
  };
  const later = (): void => {
    if (isStopped) return;
    timer = setTimeout(() => {
      running = again();
    }, RETRY_MS).unref();
  };

  try {
    recovery = readReceptionLog(layout, tell);
    await recovery.restore();
    letGo();
    await emptied();
  } catch (error) {
    tell(classifyDiskError(error));
    // Without it, the log could not even be read: it stays as it is for the next start.
    lacking = recovery?.lacking() ?? NONE;
    if (recovery !== undefined) later();
  }

  return {
    lacks: (studyKey) => lacking.has(studyKey),
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await running;
      letGo();
    },
  };
}

/** The studies that are being added to: a few kept open, so that each instance does not open what the last one had. */
import type { Layout } from './layout.js';
import { journalPath } from './study-folder.js';
import { StudyWriter } from './study-writer.js';

/** Two descriptors each. */
const MOST_OPEN = 64;

export interface StudyWriters {
  /** Of a study whose folder is there. To be asked for anew for each use. */
  of(key: string): StudyWriter;
  /** Nobody may be using it. */
  close(key: string): Promise<void>;
  closeAll(): Promise<void>;
}

export function createStudyWriters(layout: Layout): StudyWriters {
  /** Those used last stand last. */
  const open = new Map<string, StudyWriter>();

  const close = async (key: string): Promise<void> => {
    const writer = open.get(key);
    open.delete(key);
    await writer?.close();
  };

  return {
    of(key) {
      const known = open.get(key);
      const writer =
        known === undefined || known.isBroken
          ? new StudyWriter(layout.study(key), journalPath(layout, key))
          : known;
      open.delete(key);
      open.set(key, writer);
      if (open.size > MOST_OPEN) {
        for (const [other, { isIdle }] of open) {
          if (!isIdle || other === key) continue;
          void close(other);
          break;
        }
      }
      return writer;
    },
    close,
    async closeAll() {
      await Promise.all([...open.keys()].map(close));
    },
  };
}

/** How changes of our keys reach the disk: durably, as everything else of the bridge. */
import { createFileDurably, makeFolder, writeFileDurably } from '../spool/atomic.js';
import type { KeyDisk } from '../trust/key-store.js';

export const KEY_DISK: KeyDisk = {
  create: createFileDurably,
  replace: writeFileDurably,
  makeFolder,
};

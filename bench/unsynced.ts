/**
 * Loaded before a program of ours (`node --import`), makes it as careless as the others: no file is synced any more.
 * Only here to show what durability costs; no bridge has such a switch.
 */
import fs from 'node:fs';
import { open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { devNull } from 'node:os';

const handle = await open(devNull, 'r');
const files = Object.getPrototypeOf(handle) as { sync: unknown; datasync: unknown };
await handle.close();
files.sync = async () => undefined;
files.datasync = async () => undefined;

const skipped = (_file: number, done: (error: null) => void) => void process.nextTick(done, null);
Object.assign(fs, {
  fsync: skipped,
  fdatasync: skipped,
  fsyncSync: () => undefined,
  fdatasyncSync: () => undefined,
});
syncBuiltinESMExports();

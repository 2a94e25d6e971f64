/**
 * One set-up at a time: `npm start`, `npm test` and `drawbridge` may start side by side in a fresh clone.
 *
 * A file that can be made only once is the lock; it holds the pid of its owner, so that a lock whose owner died is
 * told from one that is held.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { SetupError, tell } from './tell.mjs';

const POLL_MS = 200;
/** Longer than any set-up; for owners in another container, whose pids mean nothing here. */
const STALE_MS = 30 * 60_000;

/**
 * Runs `work` while holding the lock of this checkout; waits for its turn.
 * @throws SetupError when the checkout cannot be written to
 */
export async function withSetupLock(root, work) {
  const file = join(root, '.cache', 'setup.lock');
  let told = false;
  while (!take(file)) {
    if (removeIfStale(file)) continue;
    if (!told) tell('waiting for another set-up of this checkout');
    told = true;
    await pause(POLL_MS);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

function take(file) {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    if (error.code !== 'EACCES' && error.code !== 'EROFS') throw error;
    throw new SetupError(
      `set-up is needed, and this user may not write to ${dirname(dirname(file))}; run "npm run build" there as its owner`,
    );
  }
}

function removeIfStale(file) {
  let owner;
  try {
    owner = readFileSync(file, 'utf8');
    // An empty file: its owner is just about to write its pid.
    if (owner === '' && Date.now() - statSync(file).mtimeMs < POLL_MS * 10) return false;
    if (isAlive(Number(owner)) && Date.now() - statSync(file).mtimeMs < STALE_MS) return false;
  } catch (error) {
    if (error.code === 'ENOENT') return true;
    throw error;
  }
  // Two may come here at once; only one of them can rename what both have read.
  const aside = `${file}.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (error.code === 'ENOENT') return true;
    throw error;
  }
  if (readFileSync(aside, 'utf8') !== owner) renameSync(aside, file);
  else rmSync(aside, { force: true });
  return true;
}

function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

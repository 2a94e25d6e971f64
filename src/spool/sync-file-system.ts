/**
 * All that waits to be written on a file system, made durable at once (syncfs(2)). Node has no such call; Linux has a
 * program that makes it (coreutils, BusyBox). It also waits for what others have written there.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** False where there is no such program, or it failed: then nothing is durable. */
export async function syncFileSystem(path: string): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  try {
    await run('sync', ['-f', path]);
    return true;
  } catch {
    return false;
  }
}

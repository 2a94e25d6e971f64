/**
 * Files by descriptor: opened and closed in the thread pool, written and synced by the scribe's thread. (`FileHandle` of
 * Node does the same with several times the work around it.)
 */
import { close, open } from 'node:fs';
import { promisify } from 'node:util';

const openPath = promisify(open);
const closeDescriptor = promisify(close);

export interface OpenFile {
  readonly path: string;
  readonly descriptor: number;
  close(): Promise<void>;
}

/** @param flags as of open(2), e.g. `a` */
export async function openFile(path: string, flags: string | number): Promise<OpenFile> {
  const descriptor = await openPath(path, flags, 0o600);
  return { path, descriptor, close: () => closeDescriptor(descriptor) };
}

/** Tells this data folder from every other one, also from that of a second bridge of the same site. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createFileDurably, isErrno } from './atomic.js';
import type { Layout } from './layout.js';

/** @returns 16 lower hex digits, the same for as long as the data folder lives */
export async function readBridgeId(layout: Layout): Promise<string> {
  try {
    return (await readFile(layout.bridgeId, 'utf8')).trim();
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  // Several processes may come here at once: the first one's id stands.
  await createFileDurably(layout.bridgeId, `${randomBytes(8).toString('hex')}\n`);
  return (await readFile(layout.bridgeId, 'utf8')).trim();
}

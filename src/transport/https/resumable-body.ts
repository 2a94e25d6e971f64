/** The bytes of an upload on their way out: no faster than they may go, and counted. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { PutOptions } from '../transport.js';

/** Nothing is read or counted before the first byte is asked for. */
export function departing(
  archive: Readable,
  { pace, onBytes }: Pick<PutOptions, 'pace' | 'onBytes'>,
): Readable {
  return Readable.from(counted(archive, pace?.limiter(), onBytes), { objectMode: false });
}

async function* counted(
  archive: Readable,
  limiter: NodeJS.ReadWriteStream | undefined,
  onBytes: PutOptions['onBytes'],
): AsyncGenerator<Buffer, void, undefined> {
  const source = limiter === undefined ? archive : limiter;
  // Its failure comes out of the limiter.
  if (limiter !== undefined) pipeline(archive, limiter).catch(() => undefined);
  for await (const chunk of source as AsyncIterable<Buffer>) {
    onBytes?.(chunk.length);
    yield chunk;
  }
}

/** The bytes of an archive on their way out: from an offset on, no faster than they may go, and counted. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { envelopeArchiveSize, openEnvelopeArchive } from '../../jmix/envelope-archive.js';
import { pumpArchive } from '../pump.js';
import type { PutOptions } from '../transport.js';
import type { OutgoingBody } from './exchange.js';

/**
 * @param folder of the envelope; opened when the body is asked for
 * @param release see `pumpArchive`; not heeded where there is a pace
 */
export async function archiveBody(
  folder: string,
  offset: number,
  { pace, onBytes }: Pick<PutOptions, 'pace' | 'onBytes'>,
  release?: Promise<void>,
): Promise<OutgoingBody> {
  const sizeBytes = (await envelopeArchiveSize(folder)) - offset;
  if (pace !== undefined) {
    const { stream } = await openEnvelopeArchive(folder, offset);
    return {
      sizeBytes,
      stream: Readable.from(counted(stream, pace.limiter(), onBytes), { objectMode: false }),
    };
  }
  return { sizeBytes, send: (request) => pumpArchive(folder, offset, request, { onBytes, release }) };
}

async function* counted(
  archive: Readable,
  limiter: NodeJS.ReadWriteStream,
  onBytes: PutOptions['onBytes'],
): AsyncGenerator<Buffer, void, undefined> {
  // Its failure comes out of the limiter.
  pipeline(archive, limiter).catch(() => undefined);
  for await (const chunk of limiter as AsyncIterable<Buffer>) {
    onBytes?.(chunk.length);
    yield chunk;
  }
}

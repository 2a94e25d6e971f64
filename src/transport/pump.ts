/** Sends an archive as fast as the far side takes it, in constant memory. */
import type { Writable } from 'node:stream';
import { archivePieces, envelopeArchiveSize } from '../jmix/envelope-archive.js';

export interface PumpOptions {
  /** Called with the size of each piece that the sink has taken. */
  readonly onBytes?: ((count: number) => void) | undefined;
  /** The last piece of the archive is written when this has resolved. */
  readonly release?: Promise<void> | undefined;
}

/**
 * Writes the archive of an envelope from byte `offset` on. Does not end the sink. Rejects with the sink's error when it
 * breaks, or is closed before everything is written; the sink is left as it is.
 * @throws what `archivePieces` throws
 */
export async function pumpArchive(
  folder: string,
  offset: number,
  sink: Writable,
  { onBytes, release }: PumpOptions,
): Promise<void> {
  const sizeBytes = release === undefined ? undefined : await envelopeArchiveSize(folder);
  let fail: (error: Error) => void = () => undefined;
  const broken = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  broken.catch(() => undefined);
  const close = () => fail(new Error('the connection closed before everything was sent'));
  sink.on('error', fail);
  sink.on('close', close);
  try {
    let position = offset;
    for await (const piece of archivePieces(folder, offset)) {
      position += piece.length;
      if (position === sizeBytes) await Promise.race([broken, release]);
      await Promise.race([broken, write(sink, piece)]);
      onBytes?.(piece.length);
    }
  } finally {
    sink.off('error', fail);
    sink.off('close', close);
  }
}

/** Resolves when nobody looks at the piece any more, so that its buffer can be filled anew. */
function write(sink: Writable, piece: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.write(piece, (error) => (error === null || error === undefined ? resolve() : reject(error)));
  });
}

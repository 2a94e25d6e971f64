/**
 * The end of a pipeline in an open file, from any byte of it on. A stream, and not a function at the end of the pipeline:
 * of one that throws, the pipeline would report the abort of what stands before it, and a full disk look like a stop.
 */
import type { FileHandle } from 'node:fs/promises';
import { Writable } from 'node:stream';

export interface FileSinkOptions {
  /** The first byte to be written. */
  readonly position: number;
  /** Called after the bytes are written, with their number. */
  readonly onBytes?: (count: number) => void;
  /** The file is synced whenever it has grown by this much, and not a byte is written behind that before; never if absent. */
  readonly syncEveryBytes?: number;
  /** Makes an error of the file one of ours. */
  classify(error: unknown): Error;
}

/** The handle stays open; when the stream has closed, nothing is being written any more. */
export function createFileSink(handle: FileHandle, options: FileSinkOptions): Writable {
  const step = options.syncEveryBytes ?? Number.POSITIVE_INFINITY;
  let position = options.position;
  let writing = Promise.resolve();
  let stopped = false;

  const write = async (chunk: Buffer): Promise<void> => {
    for (let done = 0; done < chunk.length && !stopped; ) {
      const intoStep = position % step;
      if (intoStep === 0 && position > options.position) await handle.sync();
      // May write less than asked for.
      const length = Math.min(chunk.length - done, step - intoStep);
      const { bytesWritten } = await handle.write(chunk, done, length, position);
      done += bytesWritten;
      position += bytesWritten;
      options.onBytes?.(bytesWritten);
    }
  };
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      writing = write(chunk);
      writing.then(
        () => done(),
        (error: unknown) => done(options.classify(error)),
      );
    },
    destroy(error, done) {
      stopped = true;
      const settle = () => done(error);
      writing.then(settle, settle);
    },
  });
}

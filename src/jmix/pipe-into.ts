/**
 * `pipeline()` that, when it fails, waits until its sink is closed. Node's own rejects at once, while a file may still
 * be about to be created: whoever then clears the folder would find it back there.
 */
import type { Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';

/** Writes `source` to `sink` and ends it. @throws what `pipeline` throws, after the sink has closed */
export async function pipeInto(
  source: AsyncIterable<Buffer>,
  sink: Writable,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await pipeline(source, sink, signal === undefined ? {} : { signal });
  } catch (error) {
    await destroyed(sink);
    throw error;
  }
}

/** As `pipeInto`, for content that is there already: many times cheaper than a stream of one piece. */
export async function writeInto(content: Buffer, sink: Writable, signal?: AbortSignal): Promise<void> {
  try {
    signal?.throwIfAborted();
    const ended = finished(sink, signal === undefined ? {} : { signal });
    sink.end(content);
    await ended;
  } catch (error) {
    await destroyed(sink);
    throw error;
  }
}

/** Destroys `sink` if that has not happened, and waits until it has let go of what it wrote to. */
export async function destroyed(sink: Writable): Promise<void> {
  sink.destroy();
  if (sink.closed) return;
  await new Promise<void>((resolve) => {
    sink.once('close', resolve);
    // With nobody listening, a late error would end the process; the first one is on its way to the caller already.
    sink.once('error', () => undefined);
  });
}

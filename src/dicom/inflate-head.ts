/**
 * The first bytes of a deflated data set (PS3.5 §A.5: raw deflate, RFC 1951). Bounded by what comes out, since a few
 * kilobytes of deflate can hold gigabytes.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createInflateRaw, inflateRawSync } from 'node:zlib';
import { GatewayError } from '../errors/gateway-error.js';

/** All attributes of interest lie far before this; a data set where they do not is refused. */
export const MAX_INFLATED_BYTES = 16 * 1024 * 1024;
/** Compressed bytes tried at once; deflate expands by 1032 at most, so this stays below the bound above. */
const SYNC_INPUT_BYTES = 8 * 1024;

/**
 * What the first kilobytes of a deflated data set hold; empty where they hold nothing whole yet.
 * @throws DATASET_UNREADABLE when it is no deflate stream
 */
export function inflateHead(head: Buffer): Buffer {
  try {
    return inflateRawSync(head.subarray(0, SYNC_INPUT_BYTES), {
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: MAX_INFLATED_BYTES,
    });
  } catch (error) {
    throw notDeflate(error);
  }
}

/**
 * Inflates step by step, and asks after each doubling whether it is enough.
 * @param compressed the data set's bytes from its first on
 * @param enough gets all that there is so far, and whether that is the end; a result other than undefined stops it
 * @throws DATASET_UNREADABLE when it is no deflate stream, or the bound is reached before it is enough
 */
export async function inflateUntil<T>(
  compressed: AsyncIterable<Buffer>,
  enough: (inflated: Buffer, ended: boolean) => T | undefined,
): Promise<T> {
  const chunks: Buffer[] = [];
  let size = 0;
  let askAt = 64 * 1024;
  let result: T | undefined;
  let failure: unknown;
  const ask = (ended: boolean) => {
    try {
      result = enough(Buffer.concat(chunks, size), ended);
    } catch (error) {
      failure = error;
    }
    return result !== undefined || failure !== undefined;
  };
  let stopped = false;
  try {
    await pipeline(Readable.from(compressed, { objectMode: false }), createInflateRaw(), async (inflated) => {
      for await (const chunk of inflated as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        size += chunk.length;
        if (size < askAt && size < MAX_INFLATED_BYTES) continue;
        askAt = size * 2;
        stopped = ask(false) || size >= MAX_INFLATED_BYTES;
        if (stopped) return;
      }
    });
  } catch (error) {
    // Leaving early ends the streams before it in an error; that one is expected.
    if (!stopped) throw notDeflate(error);
  }
  if (!stopped) ask(true);
  if (failure !== undefined) throw failure;
  if (result !== undefined) return result;
  throw new GatewayError(
    'DATASET_UNREADABLE',
    `deflated data set: attributes must come within ${MAX_INFLATED_BYTES} bytes`,
    { facts: { offset: size } },
  );
}

function notDeflate(cause: unknown): GatewayError {
  return new GatewayError('DATASET_UNREADABLE', 'data set is not a deflate stream', {
    facts: { offset: 0 },
    cause,
  });
}

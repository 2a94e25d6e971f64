/**
 * An instance that is about to be sent, read ahead: its first piece is in memory before its turn comes, and where that
 * is all of it, the source is known to end there. So a file that is gone, cut short or grown is found out before a
 * byte of it is sent. What the source throws is told apart from what the PACS does: it becomes SPOOL_CORRUPT, where the
 * source does not know better.
 */
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';

/** Where a data set comes from. */
export interface ReadableInstance {
  /** Length of the data set in bytes, without Part 10 header. */
  readonly sizeBytes: number;
  /**
   * The data set's bytes, without Part 10 header. May be called again when an earlier reading was given up.
   * @param into where pieces may be read to: nothing is in it any more when the next piece is asked for
   */
  open(into: Buffer): AsyncIterable<Buffer>;
}

export interface Reading {
  readonly sizeBytes: number;
  /** Empty for an empty data set. */
  readonly first: Buffer;
  /** The next piece; undefined after `sizeBytes` in all. @throws SPOOL_CORRUPT */
  next(): Promise<Buffer | undefined>;
  /** Gives up what is left. Never throws. */
  close(): Promise<void>;
}

const NOTHING = Buffer.alloc(0);

/** Reads the first piece. @throws SPOOL_CORRUPT when it cannot be read, or when there is less or more than announced */
export async function beginReading(instance: ReadableInstance, into: Buffer): Promise<Reading> {
  const { sizeBytes } = instance;
  let left = sizeBytes;
  let source: AsyncIterator<Buffer> | undefined;

  const pull = async (): Promise<Buffer | undefined> => {
    source ??= instance.open(into)[Symbol.asyncIterator]();
    for (;;) {
      const { done, value } = await source.next();
      if (done === true) return undefined;
      if (value.length > 0) return value;
    }
  };
  const next = async (): Promise<Buffer | undefined> => {
    if (left === 0 && source !== undefined) return undefined;
    const piece = await pull();
    if (piece === undefined) {
      if (left > 0) throw wrongSize(sizeBytes, sizeBytes - left);
      return undefined;
    }
    left -= piece.length;
    // The last piece is given when it is known to be the last.
    if (left < 0 || (left === 0 && (await pull()) !== undefined)) throw wrongSize(sizeBytes, 'more');
    return piece;
  };
  const close = async (): Promise<void> => {
    await Promise.resolve(source?.return?.()).catch(() => undefined);
  };
  const checked = async (): Promise<Buffer | undefined> => {
    try {
      return await next();
    } catch (error) {
      await close();
      if (isGatewayError(error)) throw error;
      throw new GatewayError('SPOOL_CORRUPT', 'a stored instance cannot be read', { cause: error });
    }
  };
  const first = await checked();
  return { sizeBytes, first: first ?? NOTHING, next: checked, close };
}

function wrongSize(expected: number, found: number | 'more'): GatewayError {
  return new GatewayError('SPOOL_CORRUPT', `data set has ${found} bytes, expected ${expected}`);
}

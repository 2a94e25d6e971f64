/** The first bytes of a stream, looked at before it is known who shall read it. */
import { once } from 'node:events';
import { Readable } from 'node:stream';

export interface Peeked {
  /** Fewer than asked for when the stream ends before. */
  readonly head: Buffer;
  /** Everything, the head included: to be read instead of the source. */
  readonly stream: Readable;
}

/**
 * @param source bytes that nobody has begun to read
 * @throws what breaks the stream
 */
export async function peekHead(source: Readable, bytes: number): Promise<Peeked> {
  // What breaks it between two waits finds a listener too; whoever reads on is told again.
  source.once('error', () => undefined);
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < bytes) {
    if (source.errored !== null) throw source.errored;
    const chunk: Buffer | null = source.read();
    if (chunk !== null) {
      chunks.push(chunk);
      length += chunk.length;
    } else if (source.readableEnded || source.destroyed) break;
    else await somethingNew(source);
  }
  const head = Buffer.concat(chunks);
  // Nothing can be put back into a stream that has ended.
  if (source.readableEnded) return { head, stream: Readable.from([head], { objectMode: false }) };
  if (!source.destroyed) source.unshift(head);
  return { head, stream: source };
}

/** To be asked only of a stream with nothing to read: else it says at once that there is something, over and over. */
async function somethingNew(source: Readable): Promise<void> {
  const done = new AbortController();
  const { signal } = done;
  // What is destroyed without a reason says so by `close` alone.
  const events = ['readable', 'end', 'close'].map((event) => once(source, event, { signal }));
  for (const event of events) event.catch(() => undefined);
  try {
    await Promise.race(events);
  } finally {
    done.abort();
  }
}

/** The first bytes of a stream, looked at before it is known who shall read it. */
import { once } from 'node:events';
import type { Readable } from 'node:stream';

/**
 * The stream gives them again. Fewer than asked for when it ends before.
 * @param source not yet read by anybody
 * @throws what breaks the stream
 */
export async function peekHead(source: Readable, bytes: number): Promise<Buffer> {
  for (;;) {
    if (source.errored !== null) throw source.errored;
    const head: Buffer | null = source.read(bytes);
    if (head !== null) {
      source.unshift(head);
      return head;
    }
    if (source.readableEnded || source.destroyed) return Buffer.alloc(0);
    await moreOf(source);
  }
}

async function moreOf(source: Readable): Promise<void> {
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

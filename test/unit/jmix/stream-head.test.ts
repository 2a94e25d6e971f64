import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { peekHead } from '../../../src/jmix/stream-head.js';

const BYTES = 4;

function streamOf(chunks: readonly string[]): Readable {
  return Readable.from(
    (async function* () {
      for (const chunk of chunks) {
        await nextTurn();
        yield Buffer.from(chunk);
      }
    })(),
    { objectMode: false },
  );
}

it('a stream gives its head again, in whatever pieces it comes', async () => {
  for (const chunks of [['abcdef'], ['ab', 'cdef'], ['a', 'b', 'c', 'd', 'e', 'f'], ['abcd', 'ef']]) {
    const { head, stream } = await peekHead(streamOf(chunks), BYTES);
    expect(head.toString()).toMatch(/^abcd/);
    expect((await buffer(stream)).toString()).toBe('abcdef');
  }
});

it('a stream that ends before is given whole', async () => {
  for (const chunks of [[], ['a'], ['a', 'b', 'c'], ['abcd']]) {
    const { head, stream } = await peekHead(streamOf(chunks), BYTES);
    expect(head.toString()).toBe(chunks.join(''));
    expect((await buffer(stream)).toString()).toBe(chunks.join(''));
  }
});

it('a stream that breaks before fails with its reason', async () => {
  const source = streamOf(['a', 'b', 'cdef']);
  source.once('readable', () => source.destroy(new Error('the line broke')));
  await expect(peekHead(source, BYTES)).rejects.toThrow('the line broke');
});

it('a stream that is closed before, without a reason, ends the wait', async () => {
  const source = new Readable({ read: () => undefined });
  source.push('a');
  void nextTurn().then(() => source.destroy());
  expect((await peekHead(source, BYTES)).head.toString()).toBe('a');
});

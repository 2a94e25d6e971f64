import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { createPace, type Pace, type PaceClock } from '../../../src/transport/pace.js';

/** Time that passes only while somebody sleeps, and then at once. */
function virtualTime(): PaceClock & { sleeps: number[] } {
  let nowMs = 5_000;
  const sleeps: number[] = [];
  return {
    sleeps,
    now: () => nowMs,
    async sleep(ms, signal) {
      signal.throwIfAborted();
      sleeps.push(ms);
      nowMs += ms;
    },
  };
}

/** Time that stands still: whoever sleeps is woken by nothing but an abort. */
function frozenTime(): PaceClock & { sleepers(): number } {
  let sleepers = 0;
  return {
    now: () => 0,
    sleepers: () => sleepers,
    sleep: (_ms, signal) =>
      new Promise((_resolve, reject) => {
        sleepers += 1;
        signal.addEventListener('abort', () => {
          sleepers -= 1;
          reject(signal.reason);
        });
      }),
  };
}

/** Sends the bytes through a limiter; `note` gets each piece that comes out. */
function send(pace: Pace, bytes: Buffer, note: (piece: Buffer) => void, signal?: AbortSignal): Promise<void> {
  const sink = new Writable({
    write(piece: Buffer, _encoding, done) {
      note(piece);
      done();
    },
  });
  const source = Readable.from([bytes], { objectMode: false });
  return pipeline(source, pace.limiter(), sink, signal === undefined ? {} : { signal });
}

const turnOfTheLoop = () => new Promise((resolve) => setImmediate(resolve));

describe('pace', () => {
  it.each([0, -1, 0.5, Number.NaN])('of %d bytes a second is refused', (rate) => {
    expect(() => createPace(rate)).toThrow(RangeError);
  });

  it('a transfer that ends while it is the first in the queue lets the next one go on', async () => {
    const time = frozenTime();
    const pace = createPace(4_000, time);
    await send(pace, Buffer.alloc(1_000), () => undefined);
    const stop = new AbortController();
    const first = send(pace, Buffer.alloc(500), () => undefined, stop.signal);
    await turnOfTheLoop();
    let arrived = 0;
    const giveUpSecond = new AbortController();
    const note = (piece: Buffer) => {
      arrived += piece.length;
    };
    const second = send(pace, Buffer.alloc(500), note, giveUpSecond.signal);
    await turnOfTheLoop();
    expect(time.sleepers()).toBe(1);
    stop.abort();
    await expect(first).rejects.toThrow();
    await turnOfTheLoop();
    expect({ sleepers: time.sleepers(), arrived }).toEqual({ sleepers: 1, arrived: 0 });
    giveUpSecond.abort();
    await expect(second).rejects.toThrow();
    await turnOfTheLoop();
    expect(time.sleepers()).toBe(0);
  });

  it('a transfer that ends in the middle of the queue leaves the others their places', async () => {
    const time = virtualTime();
    const pace = createPace(1_000, time);
    const stop = new AbortController();
    const arrived = [0, 0, 0];
    const sending = arrived.map((_, index) =>
      send(
        pace,
        Buffer.alloc(2_000),
        (piece) => {
          arrived[index] = (arrived[index] ?? 0) + piece.length;
          if (index === 1) stop.abort();
        },
        index === 1 ? stop.signal : undefined,
      ),
    );
    const ends = await Promise.allSettled(sending);
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(arrived).toEqual([2_000, 250, 2_000]);
  });

  it('lets bytes through as they came, whatever the size of the pieces', async () => {
    const bytes = Buffer.from(Array.from({ length: 10_007 }, (_, index) => index % 251));
    const pieces: Buffer[] = [];
    await send(createPace(1_003, virtualTime()), bytes, (piece) => pieces.push(piece));
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(250);
  });

  it('takes as long as the bytes need, less the quarter of a second that may leave at once', async () => {
    const time = virtualTime();
    const startMs = time.now();
    await send(createPace(1_000_000, time), Buffer.alloc(3_000_000), () => undefined);
    const tookMs = time.now() - startMs;
    expect(tookMs).toBeGreaterThanOrEqual(2_750);
    expect(tookMs).toBeLessThan(2_770);
    expect(time.sleeps.length).toBeLessThan(20);
  });

  it('is for all its transfers together, which take turns', async () => {
    const time = virtualTime();
    const startMs = time.now();
    const pace = createPace(4_000, time);
    const order: number[] = [];
    const sending = [0, 1, 2].map((index) => send(pace, Buffer.alloc(8_000), () => order.push(index)));
    await Promise.all(sending);
    const tookMs = time.now() - startMs;
    expect(tookMs).toBeGreaterThanOrEqual(5_750);
    expect(tookMs).toBeLessThan(5_800);
    expect(order.filter((_, place) => place % 3 === 0)).toEqual(Array(8).fill(0));
    expect(new Set(order.slice(-3))).toEqual(new Set([0, 1, 2]));
  });

  it('does not save up a long silence', async () => {
    let nowMs = 0;
    const slept: number[] = [];
    const sleep: PaceClock['sleep'] = async (ms) => {
      slept.push(ms);
      nowMs += ms;
    };
    const pace = createPace(1_000, { now: () => nowMs, sleep });
    nowMs = 3_600_000;
    await send(pace, Buffer.alloc(1_250), () => undefined);
    expect(slept.reduce((sum, ms) => sum + ms, 0)).toBe(1_000);
  });

  it('of one byte a second still moves', async () => {
    const time = virtualTime();
    let arrived = 0;
    await send(createPace(1, time), Buffer.alloc(5), () => {
      arrived += 1;
    });
    expect(arrived).toBe(5);
    expect(time.sleeps).toEqual([1_000, 1_000, 1_000, 1_000]);
  });
});

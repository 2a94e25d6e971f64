import { describe, expect, it } from 'vitest';
import type { Priority } from '../../../src/domain/priority.js';
import { createLanes, type Entry, type LanesOptions, type StepEnd } from '../../../src/queue/lanes.js';

/** Ids are `lane-anything`. What was called is in `calls`; `gone` are those that do not wait any more. */
function setUp(choice: Partial<LanesOptions> = {}) {
  const calls: string[] = [];
  const gone = new Set<string>();
  const clock = { nowMs: 1_000_000 };
  const lanes = createLanes({
    perLane: 2,
    total: 100,
    laneOf: (id) => ({ name: id.split('-')[0] ?? '' }),
    call: async (jobId) => {
      calls.push(jobId);
      return !gone.has(jobId);
    },
    now: () => clock.nowMs,
    ...choice,
  });
  const enter = async (id: string, priority: Priority = 'routine') => {
    const entry = await lanes.enter({ jobId: id, id, priority });
    if (entry.type === 'turned-away') entry.wentBack();
    return entry;
  };
  const enters = async (id: string, priority?: Priority) => (await enter(id, priority)).type === 'entered';
  return { lanes, enter, enters, calls, gone, clock };
}

function leave(entry: Entry | undefined, end: StepEnd = 'succeeded'): void {
  if (entry?.type !== 'entered') throw new Error('did not enter');
  entry.leave(end);
}

/** Lets the answers to calls arrive. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('places', () => {
  it('a full lane takes nobody until somebody leaves; other lanes are not touched', async () => {
    const { enter, enters } = setUp();
    const first = await enter('a-1');
    expect(await enters('a-2')).toBe(true);
    expect(await enters('a-3')).toBe(false);
    expect(await enters('b-1')).toBe(true);
    leave(first);
    expect(await enters('a-3')).toBe(true);
  });

  it('a lane that names its own number has that', async () => {
    const { enters } = setUp({ laneOf: () => ({ name: 'a', places: 1 }) });
    expect(await enters('a-1')).toBe(true);
    expect(await enters('a-2')).toBe(false);
  });

  it('what has no lane always enters', async () => {
    const { enters } = setUp({ perLane: 1, total: 1, laneOf: () => undefined });
    expect(await enters('a-1')).toBe(true);
    expect(await enters('a-2')).toBe(true);
  });

  it('stat finds one more place where routine fills the lane, and only one', async () => {
    const { enters } = setUp();
    await enters('a-1');
    await enters('a-2');
    expect(await enters('a-3', 'stat')).toBe(true);
    expect(await enters('a-4', 'stat')).toBe(false);
  });

  it('what the lane says of the urgency outweighs what the job says', async () => {
    const { enters } = setUp({ perLane: 1, laneOf: () => ({ name: 'a', priority: 'stat' }) });
    expect(await enters('a-1', 'low')).toBe(true);
    expect(await enters('a-2', 'low')).toBe(true);
    expect(await enters('a-3', 'low')).toBe(false);
  });

  it('lanes that hang never fill the worker: a quarter is for new lanes, the last place for stat', async () => {
    const { enters } = setUp({ perLane: 4, total: 16 });
    for (const lane of ['a', 'b', 'c']) {
      for (const job of [1, 2, 3, 4]) expect(await enters(`${lane}-${job}`)).toBe(true);
    }
    expect(await enters('d-1')).toBe(true);
    expect(await enters('d-2')).toBe(false);
    expect(await enters('e-1')).toBe(true);
    expect(await enters('f-1')).toBe(true);
    expect(await enters('g-1')).toBe(false);
    expect(await enters('g-2', 'stat')).toBe(true);
  });
});

describe('a peer that cannot be reached', () => {
  it('keeps one place until something succeeds', async () => {
    const { enter, enters } = setUp({ perLane: 4 });
    leave(await enter('a-1'), 'unreachable');
    const second = await enter('a-2');
    expect(await enters('a-3')).toBe(false);
    expect(await enters('b-1')).toBe(true);
    leave(second, 'other');
    const third = await enter('a-3');
    expect(await enters('a-4')).toBe(false);
    leave(third, 'succeeded');
    for (const id of ['a-4', 'a-5', 'a-6', 'a-7']) expect(await enters(id)).toBe(true);
  });

  it('is not stormed by all who wait: they come one by one, by themselves', async () => {
    const { enter, calls } = setUp({ perLane: 1 });
    const first = await enter('a-1');
    await enter('a-2');
    leave(first, 'unreachable');
    expect(calls).toEqual([]);
    leave(await enter('a-3'), 'succeeded');
    expect(calls).toEqual(['a-2']);
  });

  it('a step that is put off does not narrow its lane', async () => {
    const { enter, enters } = setUp();
    leave(await enter('a-1'), 'other');
    expect(await enters('a-2')).toBe(true);
    expect(await enters('a-3')).toBe(true);
  });
});

describe('a free place', () => {
  it('is kept for the one that has waited longest, who is called', async () => {
    const { enter, enters, calls } = setUp({ perLane: 1 });
    const first = await enter('a-1');
    await enter('a-2');
    await enter('a-3');
    leave(first);
    expect(calls).toEqual(['a-2']);
    expect(await enters('a-3')).toBe(false);
    expect(await enters('a-4')).toBe(false);
    expect(await enters('a-2')).toBe(true);
  });

  it('goes to the most urgent, though others have waited longer', async () => {
    const { enter, enters, calls } = setUp({ perLane: 1 });
    const first = await enter('a-1');
    await enter('a-low', 'low');
    await enter('a-routine');
    await enter('a-stat', 'stat');
    const second = await enter('a-stat2', 'stat');
    expect(second.type).toBe('turned-away');
    leave(first);
    expect(calls).toEqual(['a-stat2']);
    expect(await enters('a-low', 'low')).toBe(false);
    expect(await enters('a-routine')).toBe(false);
  });

  it('is nobody’s to be called to who is not back yet', async () => {
    const { enter, calls, lanes } = setUp({ perLane: 1 });
    const first = await enter('a-1');
    const second = await lanes.enter({ jobId: 'a-2', id: 'a-2', priority: 'routine' });
    leave(first);
    expect(calls).toEqual([]);
    if (second.type === 'turned-away') second.wentBack();
    expect(calls).toEqual(['a-2']);
  });

  it('keeps the turn of one who came by itself in between', async () => {
    const { enter, calls } = setUp({ perLane: 1 });
    const first = await enter('a-1');
    await enter('a-2');
    await enter('a-3');
    await enter('a-2');
    leave(first);
    expect(calls).toEqual(['a-2']);
  });

  it('that the worker shares goes to the lane that has waited longest', async () => {
    const { enter, calls } = setUp({ perLane: 2, total: 3 });
    const first = await enter('a-1');
    await enter('a-2');
    await enter('b-1');
    await enter('a-3');
    leave(first);
    expect(calls).toEqual(['b-1']);
  });

  it('for which somebody is called in vain goes to the next', async () => {
    const { enter, calls, gone } = setUp({ perLane: 1 });
    const first = await enter('a-1');
    for (const id of ['a-2', 'a-3', 'a-4']) await enter(id);
    gone.add('a-2').add('a-3');
    leave(first);
    await settled();
    expect(calls).toEqual(['a-2', 'a-3', 'a-4']);
  });

  it('is kept for a moment, not longer: whoever was called may be with another process', async () => {
    const { enter, enters, clock } = setUp({ perLane: 1 });
    const first = await enter('a-1');
    await enter('a-2');
    leave(first);
    clock.nowMs += 99;
    expect(await enters('a-3')).toBe(false);
    clock.nowMs += 1;
    expect(await enters('a-4')).toBe(true);
  });

  it('is not refused to the less urgent for ever: who stays away is forgotten', async () => {
    const { enter, enters, clock } = setUp({ perLane: 1, call: () => new Promise(() => {}) });
    const first = await enter('a-1');
    const own = await enter('a-2', 'stat');
    await enter('a-3', 'stat');
    leave(own);
    leave(first);
    clock.nowMs += 2_000;
    expect(await enters('a-4')).toBe(false);
    clock.nowMs += 3_000;
    expect(await enters('a-4')).toBe(true);
  });

  it('stays free when Redis goes away in the middle of a call', async () => {
    const { enter, enters, clock } = setUp({ perLane: 1, call: () => Promise.reject(new Error('away')) });
    const first = await enter('a-1');
    await enter('a-2');
    leave(first);
    await settled();
    clock.nowMs += 1_000;
    expect(await enters('a-2')).toBe(true);
  });
});

describe('a crowd', () => {
  const waits = async (count: number, priority: Priority): Promise<number[]> => {
    const { enter, clock } = setUp({ perLane: 1, laneOf: () => ({ name: 'dead' }) });
    await enter('0');
    await enter('1', 'stat');
    const found: number[] = [];
    for (let job = 2; job < count + 2; job += 1) {
      const entry = await enter(`${job}`, priority);
      if (entry.type === 'turned-away') found.push(entry.comesBackAtMs - clock.nowMs);
    }
    return found.sort((a, b) => a - b);
  };

  it('of urgent ones comes back within a second', async () => {
    expect(new Set(await waits(20, 'stat'))).toEqual(new Set([1_000]));
  });

  it('comes back one by one, the first after two seconds, so that a place is never free for long', async () => {
    const expected = Array.from({ length: 250 }, (_, at) => 2_000 + at * 200);
    expect(await waits(250, 'routine')).toEqual(expected);
  });

  it('that has gone leaves no long wait behind', async () => {
    const { enter, calls, clock } = setUp({ perLane: 1 });
    let inside = await enter('a-0');
    for (let job = 1; job <= 100; job += 1) await enter(`a-${job}`);
    for (let job = 1; job <= 100; job += 1) {
      leave(inside);
      inside = await enter(`a-${job}`);
    }
    expect(calls).toHaveLength(100);
    expect(await enter('a-new')).toMatchObject({ comesBackAtMs: clock.nowMs + 2_000 });
  });

  it('of 10 000 comes back within a minute, some of it all the time', async () => {
    const found = await waits(10_000, 'routine');
    expect(found).toHaveLength(10_000);
    expect(found.at(-1)).toBeLessThanOrEqual(60_000);
    const gaps = found.slice(1).map((wait, at) => wait - (found[at] ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(200);
    expect(found.filter((wait) => wait < 30_000).length).toBeLessThan(200);
  });
});

import { describe, expect, it } from 'vitest';
import { createLanes } from '../../../src/queue/lanes.js';

describe('lanes', () => {
  it('a full lane takes nobody until somebody leaves; other lanes are not touched', async () => {
    const lanes = createLanes(2, (id) => id.slice(0, 1));
    const leave = await lanes.enter('a1');
    expect(await lanes.enter('a2')).toBeTypeOf('function');
    expect(await lanes.enter('a3')).toBeUndefined();
    expect(await lanes.enter('b1')).toBeTypeOf('function');
    leave?.();
    expect(await lanes.enter('a3')).toBeTypeOf('function');
  });

  it('what has no lane always enters', async () => {
    const lanes = createLanes(1, () => undefined);
    expect(await lanes.enter('a1')).toBeTypeOf('function');
    expect(await lanes.enter('a2')).toBeTypeOf('function');
  });
});

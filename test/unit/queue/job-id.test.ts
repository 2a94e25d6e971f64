import { describe, expect, it } from 'vitest';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import { PRIORITIES } from '../../../src/domain/priority.js';
import { formatJobId } from '../../../src/queue/job-id.js';
import { parseJobData, priorityNumber, priorityOf, STAGES } from '../../../src/queue/jobs.js';
import { formatNamedId, parseNamedId } from '../../../src/queue/named-job.js';

const ID = '1f0c3d1e-8a51-4d0e-9f1b-0123456789ab';

describe('job id', () => {
  it.each(['', 'a:b', 'a.b', 'a b', 'x'.repeat(65), '../up'])('id %j cannot be part of one', (id) => {
    expect(() => formatJobId('ship', id)).toThrowError(expect.objectContaining({ code: 'FAULT' }));
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY])('round %d is refused', (round) => {
    expect(() => formatJobId('ship', ID, round)).toThrowError(expect.objectContaining({ code: 'FAULT' }));
  });

  it('is the same for the same step, and another one for each stage and round', () => {
    const ids = STAGES.flatMap((stage) => [0, 1, 2].map((round) => formatJobId(stage, ID, round)));
    expect(new Set(ids).size).toBe(ids.length);
    expect(formatJobId('ship', ID)).toBe(`ship.${ID}`);
    expect(formatJobId('ship', ID, 2)).toBe(`ship.${ID}.2`);
  });

  it('takes an envelope with the longest name of an exchange or PACS', () => {
    const name = 'the-longest_Name-of-24ch';
    const id = formatNamedId(parseEnvelopeId(ID), name);
    expect(formatJobId('fetch', id)).toBe(`fetch.${ID}_${name}`);
    expect(parseNamedId(id)).toEqual({ id: ID, name });
  });

  it('holds no colon and is never a number, which BullMQ forbids', () => {
    for (const stage of STAGES) {
      const id = formatJobId(stage, '12345');
      expect(id).not.toContain(':');
      expect(Number(id)).toBeNaN();
    }
  });
});

describe('job data', () => {
  it.each([undefined, null, 'e1', {}, { id: '' }, { id: 7 }])('%j is refused', (data) => {
    expect(() => parseJobData(data)).toThrowError(expect.objectContaining({ code: 'FAULT' }));
  });

  it('keeps the id and nothing else', () => {
    expect(parseJobData({ id: ID, patient: 'x' })).toEqual({ id: ID });
  });
});

describe('priority', () => {
  it('is a number from 1, lower for the more urgent, and comes back from it', () => {
    const numbers = PRIORITIES.map(priorityNumber);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(numbers[0]).toBeGreaterThanOrEqual(1);
    expect(numbers.map(priorityOf)).toEqual(PRIORITIES);
  });

  it.each([0, 7, Number.NaN])('%d, which is none of ours, is routine', (number) => {
    expect(priorityOf(number)).toBe('routine');
  });
});

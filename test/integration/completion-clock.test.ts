/** Studies that the clock completes, and those that the disk keeps it from completing. */
import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type CompletionClock, startCompletionClock } from '../../src/compose/completion-clock.js';
import { createFeeding } from '../../src/outbound/feeding.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { gatherStudy, routeTo } from '../support/site-studies.js';
import { until } from '../support/until.js';

const RULES = { quietSeconds: 1, quietSecondsByModality: {}, longestWaitSeconds: 3600 };

let sites: TestSites;
let a: TestSite;
let clock: CompletionClock;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
});
afterEach(async () => {
  await clock.stop();
  await sites.close();
});

const eventsOf = (key: string) => a.logged.filter(({ study }) => study === key).map(({ event }) => event);

it('a study that cannot be completed is told once, tried again, and completed; the others do not wait', async () => {
  const failing = await gatherStudy(a.outbound);
  const inTheWay = join(a.context.layout.study(failing), 'freeze-0001.json');
  await mkdir(inTheWay);
  a.time.ms += 2_000;
  clock = startCompletionClock({ ...a.outbound, routes: [routeTo('site-b')] }, RULES, createFeeding());
  const isCompleted = (key: string) => eventsOf(key).includes('study.completed');
  await until(() => eventsOf(failing).includes('study.completion_failed'), { what: 'one has failed' });
  for (const seed of [2, 3, 4]) {
    const other = await gatherStudy(a.outbound, { seed });
    a.time.ms += 2_000;
    await until(() => isCompleted(other), { what: 'another one is complete' });
  }
  await rmdir(inTheWay);
  await until(() => isCompleted(failing), { what: 'it is complete' });
  expect(eventsOf(failing).filter((event) => event === 'study.completion_failed')).toHaveLength(1);
});

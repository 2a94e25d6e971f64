/** Threads that are asked: what they answer, what becomes of their death, and that they end and come back. */
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { type Answer, createAskedThread } from '../../../src/spool/asked-thread.js';
import { until } from '../../support/until.js';

const THREAD = `
const { parentPort, threadId } = require('node:worker_threads');
parentPort.on('message', ({ id, act }) => {
  if (act === 'die') process.exit(1);
  parentPort.postMessage([act === 'fail' ? { id, errno: 'EIO' } : { id, threadId }]);
});
`;

interface Act {
  readonly act: 'tell' | 'fail' | 'die';
}
interface Told extends Answer {
  readonly threadId: number;
}

const asked = (idleMs?: number) =>
  createAskedThread<Act, Told>(() => new Worker(THREAD, { eval: true }), idleMs);
const told = async (thread: ReturnType<typeof asked>) => (await thread.ask({ act: 'tell' })).threadId;

it('the same thread answers, until it is told to stay no longer than it is asked', async () => {
  const staying = asked();
  expect(await told(staying)).toBe(await told(staying));
  const leaving = asked(10);
  const first = await told(leaving);
  await until(() => !leaving.isRunning());
  expect(await told(leaving)).not.toBe(first);
});

it('a disk that fails is told by its code, and the thread goes on', async () => {
  const thread = asked();
  await expect(thread.ask({ act: 'fail' })).rejects.toMatchObject({
    code: 'SPOOL_WRITE_FAILED',
    facts: { errno: 'EIO' },
  });
  expect(await told(thread)).toBeGreaterThan(0);
});

it('of a thread that dies all who wait are told, and the next starts another', async () => {
  const thread = asked();
  const first = await told(thread);
  const both = [thread.ask({ act: 'die' }), thread.ask({ act: 'tell' })];
  for (const one of both) await expect(one).rejects.toMatchObject({ code: 'SPOOL_WRITE_FAILED' });
  expect(await told(thread)).not.toBe(first);
});

it('nobody is started only to be told something', () => {
  const thread = asked();
  thread.tell({ act: 'die' });
  expect(thread.isRunning()).toBe(false);
});

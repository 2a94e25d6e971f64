/** Redis goes away while the bridge works: nothing hangs, nothing is lost. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { silentLog } from '../../src/observe/log.js';
import { createInspector } from '../../src/queue/inspect.js';
import { POLICIES, type StagePolicy } from '../../src/queue/policy.js';
import { createProducer, type Producer } from '../../src/queue/producer.js';
import { startRedis } from '../../src/queue/redis/ladder.js';
import type { RunningRedis } from '../../src/queue/redis/running-redis.js';
import { watchRedis } from '../../src/queue/redis/watch.js';
import { type StageWorker, startStageWorker } from '../../src/queue/worker.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const QUICK: StagePolicy = {
  ...POLICIES.ship,
  firstWaitMs: 20,
  longestWaitMs: 40,
  lockMs: 1_000,
  stalledCheckMs: 300,
};

describeWith('redis', 'queue without Redis', () => {
  let dataDir: string;
  let socket: string;
  let running: RunningRedis | undefined;
  const producers: Producer[] = [];
  const workers: StageWorker[] = [];

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'queue-'));
    socket = join(dataDir, 'redis', 'redis.sock');
  });

  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.close(0)));
    await Promise.all(producers.splice(0).map((producer) => producer.close()));
    await running?.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  const start = async (): Promise<RunningRedis> => {
    running = await startRedis({ dataDir, allowDownload: false, log: silentLog, rungs: ['private'] });
    return running;
  };
  const produce = (timeoutMs?: number): Producer => {
    const producer = createProducer(
      { path: socket },
      silentLog,
      timeoutMs === undefined ? {} : { timeoutMs },
    );
    producers.push(producer);
    return producer;
  };
  const work = (run: (id: string, signal: AbortSignal) => Promise<void>): StageWorker => {
    const connection = { path: socket };
    const worker = startStageWorker({ stage: 'ship', connection, log: silentLog, policy: QUICK, run });
    workers.push(worker);
    return worker;
  };
  const processId = async ({ connection }: RunningRedis): Promise<number> => {
    const redis = new Redis(connection);
    const info = await redis.info('server');
    redis.disconnect();
    return Number(/process_id:(\d+)/.exec(info)?.[1]);
  };

  it('adding while Redis is away fails within its time, and works as soon as Redis is there', async () => {
    const producer = produce();
    const beforeMs = Date.now();
    await expect(producer.add('ship', 'e1')).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    expect(Date.now() - beforeMs).toBeLessThan(1_000);
    await expect(producer.promote('ship', 'e1')).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    await expect(producer.remove('ship', 'e1')).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    await start();
    await until(() => producer.add('ship', 'e1').then(() => true));
  });

  it('looking while Redis is away fails within its time', async () => {
    const inspector = createInspector({ path: socket });
    const beforeMs = Date.now();
    await expect(inspector.counts()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    expect(Date.now() - beforeMs).toBeLessThan(1_000);
    await inspector.close();
  });

  it('a Redis that stands still is given up within the time of the call', async () => {
    const pid = await processId(await start());
    const producer = createProducer({ path: socket }, silentLog, { timeoutMs: 300 });
    producers.push(producer);
    await producer.add('ship', 'e1');
    process.kill(pid, 'SIGSTOP');
    try {
      await expect(producer.add('ship', 'e2')).rejects.toMatchObject({
        code: 'REDIS_UNAVAILABLE',
        message: 'Redis gave no answer within 300 ms',
      });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await producer.add('ship', 'e2');
  });

  it('a worker that is started first waits for Redis, then works', async () => {
    const ran: string[] = [];
    work(async (id) => void ran.push(id));
    await start();
    const producer = produce();
    await producer.add('ship', 'e1');
    await until(() => ran.includes('e1'));
  });

  it('a worker closes in bounded time although Redis was never there', async () => {
    const worker = work(async () => {});
    const beforeMs = Date.now();
    await worker.close(100);
    expect(Date.now() - beforeMs).toBeLessThan(3_000);
  });

  it('a worker closes in bounded time after Redis has gone, with a step that runs', async () => {
    const current = await start();
    let started = false;
    const worker = work(async (_id, signal) => {
      started = true;
      await once(signal, 'abort');
    });
    await produce().add('ship', 'e1');
    await until(() => started);
    await current.stop();
    const beforeMs = Date.now();
    await worker.close(100);
    expect(Date.now() - beforeMs).toBeLessThan(12_000);
  }, 20_000);

  it('Redis killed in the middle of many jobs: each of them is done', async () => {
    const pid = await processId(await start());
    const producer = produce();
    const done = new Set<string>();
    const ids = Array.from({ length: 60 }, (_, index) => `e${index}`);
    for (const id of ids) await producer.add('ship', id);
    let isKilled = false;
    work(async (id) => {
      if (done.size === 20 && !isKilled) {
        isKilled = true;
        process.kill(pid, 'SIGKILL');
      }
      done.add(id);
    });
    await until(() => done.size === ids.length);
    const inspector = createInspector({ path: socket });
    await until(async () => {
      const { waiting, active, delayed, failed } = (await inspector.counts()).ship;
      return waiting + active + delayed + failed === 0;
    });
    await inspector.close();
  }, 40_000);

  it('a worker process killed in the middle: another worker takes up its job', async () => {
    await start();
    await produce().add('ship', 'e1');
    const script = new URL('../support/fixtures/queue-worker-hangs.mjs', import.meta.url);
    const child = spawn(process.execPath, [script.pathname, socket, '1000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    const ran: string[] = [];
    work(async (id) => void ran.push(id));
    await until(() => ran.includes('e1'));
  });

  it('Redis emptied: those who rebuild the jobs are told', async () => {
    await start();
    const watch = watchRedis({ path: socket }, silentLog, 30);
    let restored = 0;
    watch.onRestored(() => {
      restored += 1;
    });
    const redis = new Redis({ path: socket });
    await until(() => redis.exists('drawbridge:mark'));
    // The mark is there a moment before its setting is answered.
    await until(async () => {
      await redis.flushall();
      return restored > 0;
    });
    redis.disconnect();
    watch.stop();
  });
});

/**
 * What the queue promises, whichever Redis it runs on. Each server runs this suite; where a promise needs a real
 * Redis (persistence, a restart), the test is beside the server, not here.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { silentLog } from '../../src/observe/log.js';
import { createInspector, type Inspector, queuesForBoard } from '../../src/queue/inspect.js';
import type { LaneOf } from '../../src/queue/lanes.js';
import { POLICIES, type StagePolicy } from '../../src/queue/policy.js';
import type { Attempt } from '../../src/queue/processor.js';
import { createProducer, type Producer } from '../../src/queue/producer.js';
import type { RunningRedis } from '../../src/queue/redis/running-redis.js';
import type { FailureListener } from '../../src/queue/settle.js';
import { type StageWork, type StageWorker, startStageWorker } from '../../src/queue/worker.js';
import { until } from '../support/until.js';

/** Three attempts, milliseconds apart. */
const QUICK: StagePolicy = {
  ...POLICIES.ship,
  attempts: 3,
  firstWaitMs: 20,
  longestWaitMs: 40,
  lockMs: 2_000,
  stalledCheckMs: 500,
};
const POLICY = { ...POLICIES, ship: QUICK, pack: QUICK };

/** The lane of `dead-1` is `dead`. */
const byPrefix: LaneOf = (id) => ({ name: id.split('-')[0] ?? id });

const fixture = (name: string): URL => new URL(`../support/fixtures/queue-${name}.mjs`, import.meta.url);

interface Failures {
  readonly givenUp: { id: string; error: GatewayError }[];
  readonly retries: { id: string; error: GatewayError; atMs: number; attempt: number }[];
}

type WorkerChoice = StageWork &
  FailureListener & {
    readonly policy?: StagePolicy;
    readonly concurrency?: number;
    readonly laneOf?: LaneOf;
  };

export function queueConformance(name: string, start: (dataDir: string) => Promise<RunningRedis>): void {
  describe(`queue on ${name}`, () => {
    let dataDir: string;
    let running: RunningRedis;
    let redis: Redis;
    let producer: Producer;
    let inspector: Inspector;
    const workers: StageWorker[] = [];

    beforeAll(async () => {
      dataDir = await mkdtemp(join(tmpdir(), 'queue-'));
      running = await start(dataDir);
      redis = new Redis(running.connection);
    }, 60_000);

    afterAll(async () => {
      redis?.disconnect();
      await running?.stop();
      await rm(dataDir, { recursive: true, force: true });
    });

    beforeEach(async () => {
      await redis.flushall();
      producer = createProducer(running.connection, silentLog, { policies: POLICY });
      inspector = createInspector(running.connection);
    });

    afterEach(async () => {
      await Promise.all(workers.splice(0).map((worker) => worker.close(0)));
      await producer.close();
      await inspector.close();
    });

    const startWorker = (options: WorkerChoice): StageWorker & Failures => {
      const givenUp: Failures['givenUp'] = [];
      const retries: Failures['retries'] = [];
      const worker = startStageWorker({
        onGivenUp: (id: string, error: GatewayError) => void givenUp.push({ id, error }),
        onRetry: (id: string, error: GatewayError, atMs: number, attempt: number) =>
          void retries.push({ id, error, atMs, attempt }),
        policy: QUICK,
        ...options,
        stage: 'ship',
        connection: running.connection,
        log: silentLog,
      });
      workers.push(worker);
      return { ...worker, givenUp, retries };
    };

    /** A step that notes its attempts and fails as told. */
    const failing = (error: () => Error | undefined) => {
      const attempts: Attempt[] = [];
      const run = async (_id: string, _signal: AbortSignal, attempt: Attempt): Promise<void> => {
        attempts.push(attempt);
        const failure = error();
        if (failure !== undefined) throw failure;
      };
      return { attempts, run };
    };

    describe('a step that fails', () => {
      it('transient: is tried as often as the policy says, then given up once', async () => {
        const step = failing(() => new GatewayError('PEER_UNREACHABLE', 'peer refused the connection'));
        const worker = startWorker({ run: step.run });
        await producer.add('ship', 'e1');
        await until(() => worker.givenUp.length > 0);
        expect(step.attempts).toEqual([
          { number: 1, last: false },
          { number: 2, last: false },
          { number: 3, last: true },
        ]);
        expect(worker.retries.map(({ attempt }) => attempt)).toEqual([1, 2]);
        expect(worker.givenUp).toMatchObject([{ id: 'e1', error: { code: 'PEER_UNREACHABLE' } }]);
        await until(async () => (await inspector.counts()).ship.failed === 1);
      });

      it('ambiguous: is tried again', async () => {
        const step = failing(() =>
          step.attempts.length < 2 ? new GatewayError('SHIP_UNCONFIRMED', 'lost') : undefined,
        );
        const worker = startWorker({ run: step.run });
        await producer.add('ship', 'e1');
        await until(() => step.attempts.length === 2);
        expect(worker.givenUp).toEqual([]);
      });

      it('permanent: is given up at the first attempt', async () => {
        const step = failing(() => new GatewayError('PEER_REFUSED', 'peer answered 400'));
        const worker = startWorker({ run: step.run });
        await producer.add('ship', 'e1');
        await until(async () => (await inspector.counts()).ship.failed === 1);
        expect(step.attempts).toHaveLength(1);
        expect(worker.givenUp).toMatchObject([{ id: 'e1', error: { code: 'PEER_REFUSED' } }]);
        expect(worker.retries).toEqual([]);
      });

      it('with an unknown error: is a fault, given up, and its text stays out of Redis', async () => {
        const step = failing(() => new TypeError('/data/DOE^JOHN is not a function'));
        const worker = startWorker({ run: step.run });
        await producer.add('ship', 'e1');
        await until(async () => (await inspector.counts()).ship.failed === 1);
        expect(worker.givenUp).toMatchObject([{ error: { code: 'FAULT', kind: 'fault' } }]);
        expect(JSON.stringify(await redis.hgetall('drawbridge:ship:ship.e1'))).not.toContain('DOE');
      });

      it('put off by its peer: comes back at that time and uses no attempt', async () => {
        const step = failing(() =>
          step.attempts.length <= 4
            ? new GatewayError('PEER_BUSY', 'peer answered 503', { facts: { retryAfterMs: 30 } })
            : undefined,
        );
        const worker = startWorker({ run: step.run });
        await producer.add('ship', 'e1');
        await until(() => step.attempts.length === 5);
        expect(step.attempts.map(({ number }) => number)).toEqual([1, 1, 1, 1, 1]);
        expect(worker.retries).toHaveLength(4);
        expect(worker.givenUp).toEqual([]);
      });

      it('and cannot be parked: is not marked as failed, and comes back', async () => {
        const step = failing(() => new GatewayError('PEER_REFUSED', 'peer answered 400'));
        startWorker({
          run: step.run,
          onGivenUp: () => {
            throw new GatewayError('SPOOL_WRITE_FAILED', 'disk is full');
          },
        });
        await producer.add('ship', 'e1');
        await until(async () => (await inspector.counts()).ship.delayed === 1);
        expect((await inspector.counts()).ship.failed).toBe(0);
      });
    });

    describe('across the sandbox', () => {
      it.each([
        ['transient', 'PEER_UNREACHABLE', 3],
        ['ambiguous', 'SHIP_UNCONFIRMED', 3],
        ['permanent', 'PEER_REFUSED', 1],
        ['fault', 'FAULT', 1],
      ])('%s survives with code and facts, and attempts are counted', async (kind, code, attempts) => {
        const worker = startWorker({ processorFile: fixture('throws-kind') });
        await producer.add('ship', `${kind}-1`);
        await until(() => worker.givenUp.length === 1);
        expect(worker.retries.map(({ attempt }) => attempt)).toEqual([1, 2].slice(0, attempts - 1));
        expect(worker.givenUp).toMatchObject([{ error: { code, kind, facts: { statusCode: 599 } } }]);
      });

      it('a wait that the peer asked for uses no attempt', async () => {
        const counter = join(dataDir, 'counter');
        process.env['QUEUE_FIXTURE_COUNTER'] = counter;
        const worker = startWorker({ processorFile: fixture('puts-off') });
        await producer.add('ship', 'e1');
        await until(async () => (await readFile(counter, 'utf8').catch(() => '')).length === 3);
        expect(worker.retries.map(({ attempt }) => attempt)).toEqual([1, 1]);
        expect(worker.givenUp).toEqual([]);
      });

      it('a bug in the step is a fault', async () => {
        const worker = startWorker({ processorFile: fixture('plain-error') });
        await producer.add('ship', 'e1');
        await until(() => worker.givenUp.length === 1);
        expect(worker.givenUp).toMatchObject([{ error: { code: 'FAULT' } }]);
        expect(worker.retries).toEqual([]);
      });

      it('a process that is killed is a step cut short, and is tried again', async () => {
        const worker = startWorker({ processorFile: fixture('crashes') });
        await producer.add('ship', 'e1');
        await until(() => worker.givenUp.length === 1);
        expect(worker.retries).toMatchObject([
          { error: { code: 'CANCELLED' } },
          { error: { code: 'CANCELLED' } },
        ]);
      });

      it('closing aborts the signal of the step and puts the job back', async () => {
        const worker = startWorker({ processorFile: fixture('stops-on-signal') });
        await producer.add('ship', 'e1');
        await until(async () => (await inspector.counts()).ship.active === 1);
        // The process of the step starts after the job is taken; an abort before that would prove nothing.
        await worker.close(300);
        expect(worker.givenUp).toEqual([]);
        expect(worker.retries).toEqual([]);
        expect((await inspector.jobs('ship')).waiting).toEqual(['e1']);
      });
    });

    it('a worker that closes hands its job to one that is idle at once', async () => {
      const ran: string[] = [];
      const closing = startWorker({
        run: (_id, signal) =>
          new Promise((_resolve, reject) => {
            ran.push('first');
            signal.addEventListener('abort', () => reject(new Error('stopped')));
          }),
      });
      await producer.add('ship', 'e1');
      await until(() => ran.length === 1);
      await startWorker({ run: async () => void ran.push('second') }).ready();
      await closing.close(0);
      // Idle workers look by themselves every five seconds or so.
      await until(() => ran.includes('second'), { timeoutMs: 3_000 });
    });

    describe('adding', () => {
      it('the same step twice runs it once', async () => {
        const step = failing(() => undefined);
        await producer.add('ship', 'e1');
        await producer.add('ship', 'e1');
        expect((await inspector.jobs('ship')).waiting).toEqual(['e1']);
        startWorker({ run: step.run });
        await producer.add('ship', 'e2');
        await until(() => step.attempts.length === 2);
        expect(step.attempts).toHaveLength(2);
      });

      it('a step that runs at this moment changes nothing', async () => {
        let finish = (): void => {};
        let runs = 0;
        startWorker({
          run: async () => {
            runs += 1;
            await new Promise<void>((resolve) => {
              finish = resolve;
            });
          },
        });
        await producer.add('ship', 'e1');
        await until(() => runs === 1);
        await producer.add('ship', 'e1');
        expect(await inspector.jobs('ship')).toEqual({ waiting: [], active: ['e1'], delayed: [] });
        finish();
        await until(async () => (await inspector.counts()).ship.active === 0);
        expect(runs).toBe(1);
      });

      it('a step again after it was done runs it again', async () => {
        const step = failing(() => undefined);
        startWorker({ run: step.run });
        await producer.add('ship', 'e1');
        await until(() => step.attempts.length === 1);
        await until(async () => (await inspector.counts()).ship.active === 0);
        await producer.add('ship', 'e1');
        await until(() => step.attempts.length === 2);
      });

      it('a step again after it was given up starts with the first attempt', async () => {
        const step = failing(() => new GatewayError('PEER_REFUSED', 'peer answered 400'));
        startWorker({ run: step.run });
        await producer.add('ship', 'e1');
        await until(async () => (await inspector.counts()).ship.failed === 1);
        await producer.add('ship', 'e1');
        await until(() => step.attempts.length === 2);
        expect(step.attempts[1]).toEqual({ number: 1, last: false });
      });

      it('the next round of a step is not swallowed by the round that still runs', async () => {
        const finishes: (() => void)[] = [];
        startWorker({ run: () => new Promise<void>((resolve) => void finishes.push(resolve)) });
        await producer.add('ship', 'e1');
        await until(() => finishes.length === 1);
        await producer.add('ship', 'e1', { round: 1 });
        await until(() => finishes.length === 2);
        for (const finish of finishes) finish();
      });

      it('with a delay keeps it until then, and promoting runs it now', async () => {
        const step = failing(() => undefined);
        startWorker({ run: step.run });
        const beforeMs = Date.now();
        await producer.add('ship', 'e1', { delayMs: 3_600_000 });
        const { delayed } = await inspector.jobs('ship');
        expect(delayed).toMatchObject([{ id: 'e1' }]);
        const dueAtMs = (await inspector.nextAttempts()).get('e1') ?? 0;
        expect(dueAtMs - beforeMs).toBeGreaterThanOrEqual(3_600_000);
        expect(dueAtMs - Date.now()).toBeLessThanOrEqual(3_600_000);
        await producer.promote('ship', 'e1');
        await until(() => step.attempts.length === 1);
      });

      it('with a priority goes before one with a lower priority', async () => {
        await producer.add('ship', 'later', { priority: 'low' });
        await producer.add('ship', 'sooner', { priority: 'stat' });
        expect((await inspector.jobs('ship')).waiting).toEqual(['sooner', 'later']);
        const ran: string[] = [];
        startWorker({ run: async (id) => void ran.push(id), concurrency: 1 });
        await until(() => ran.length === 2);
        expect(ran).toEqual(['sooner', 'later']);
      });

      it('and removing leaves nothing', async () => {
        await producer.add('ship', 'e1');
        await producer.remove('ship', 'e1');
        await producer.remove('ship', 'e1');
        expect(await redis.keys('drawbridge:ship:ship.*')).toEqual([]);
      });

      it('promoting what is absent adds it', async () => {
        await producer.promote('ship', 'e1');
        expect((await inspector.jobs('ship')).waiting).toEqual(['e1']);
      });
    });

    /** A step that stays until it is released or told to stop, and notes who is in it. */
    const staying = () => {
      const inside = new Map<string, () => void>();
      const ran: string[] = [];
      const run = (id: string, signal: AbortSignal): Promise<void> =>
        new Promise((resolve, reject) => {
          ran.push(id);
          const end = (finish: () => void) => (): void => {
            inside.delete(id);
            finish();
          };
          inside.set(id, end(resolve));
          signal.addEventListener(
            'abort',
            end(() => reject(new GatewayError('CANCELLED', 'told to stop'))),
          );
        });
      /** Only what is for a lane `dead…` stays. */
      const runDead = async (id: string, signal: AbortSignal): Promise<void> => {
        if (id.startsWith('dead')) await run(id, signal);
        else ran.push(id);
      };
      return { inside, ran, run, runDead };
    };
    const inLane = (ids: Iterable<string>, lane: string): string[] =>
      [...ids].filter((id) => id.startsWith(`${lane}-`));

    it('a full lane does not hold up the others', async () => {
      const step = staying();
      startWorker({
        policy: { ...QUICK, concurrency: 4, perLane: 2 },
        laneOf: byPrefix,
        run: step.runDead,
      });
      for (const id of ['dead-1', 'dead-2', 'dead-3', 'dead-4', 'dead-5', 'live-1', 'live-2']) {
        await producer.add('ship', id);
      }
      await until(() => inLane(step.ran, 'live').length === 2);
      expect(inLane(step.ran, 'dead')).toHaveLength(2);
    });

    it('ten peers that hang, each with a crowd, do not hold up another', async () => {
      const step = staying();
      const dead = Array.from({ length: 10 }, (_, lane) => `dead${lane}`);
      for (const lane of dead) {
        for (let job = 0; job < 20; job += 1) await producer.add('ship', `${lane}-${job}`);
      }
      startWorker({
        laneOf: byPrefix,
        run: step.runDead,
      });
      await until(async () => (await inspector.counts()).ship.delayed === 160);
      await producer.add('ship', 'live-1');
      await until(() => step.ran.includes('live-1'));
      for (const lane of dead) expect(inLane(step.inside.keys(), lane)).toHaveLength(4);
    });

    it('peers that hang and outnumber the places leave room for another', async () => {
      const step = staying();
      startWorker({
        policy: { ...QUICK, concurrency: 12, perLane: 4 },
        laneOf: byPrefix,
        run: step.runDead,
      });
      for (const lane of ['dead1', 'dead2', 'dead3']) {
        for (let job = 0; job < 6; job += 1) await producer.add('ship', `${lane}-${job}`);
      }
      await until(async () => (await inspector.counts()).ship.delayed === 9);
      await producer.add('ship', 'live-1');
      await until(() => step.ran.includes('live-1'));
      expect(step.inside.size).toBe(9);
    });

    it('a peer that cannot be reached has one place until a step succeeds, then all', async () => {
      const step = staying();
      let isDead = true;
      startWorker({
        policy: { ...QUICK, firstWaitMs: 3_600_000, longestWaitMs: 3_600_000 },
        laneOf: byPrefix,
        run: async (id, signal) => {
          if (isDead) throw new GatewayError('PEER_UNREACHABLE', 'peer refused the connection');
          await step.run(id, signal);
        },
      });
      await producer.add('ship', 'a-0');
      await until(async () => (await inspector.counts()).ship.delayed === 1);
      isDead = false;
      for (let job = 1; job <= 5; job += 1) await producer.add('ship', `a-${job}`);
      await until(async () => (await inspector.counts()).ship.delayed === 5);
      expect(step.inside.size).toBe(1);
      step.inside.values().next().value?.();
      await until(() => step.inside.size === 4);
    });

    it('stat finds a place where routine transfers fill the lane', async () => {
      const step = staying();
      startWorker({ laneOf: byPrefix, run: step.run });
      for (let job = 0; job < 6; job += 1) await producer.add('ship', `a-${job}`);
      await until(async () => (await inspector.counts()).ship.delayed === 2);
      await producer.add('ship', 'a-stat', { priority: 'stat' });
      await until(() => step.inside.has('a-stat'));
      expect(step.inside.size).toBe(5);
    });

    it('a place that gets free goes to the most urgent at once, and then through the whole crowd', async () => {
      const step = staying();
      let isOpen = false;
      startWorker({
        laneOf: (id) => ({ name: 'a', places: 1, ...(id === 'urgent' ? { priority: 'stat' } : {}) }),
        run: async (id, signal) => {
          if (isOpen) step.ran.push(id);
          else await step.run(id, signal);
        },
      });
      await producer.add('ship', 'first');
      await until(() => step.inside.has('first'));
      await producer.add('ship', 'research', { priority: 'low' });
      await producer.add('ship', 'urgent', { priority: 'low' });
      await until(() => step.inside.has('urgent'));
      // So many would take 24 s if each had to come by itself.
      for (let job = 0; job < 120; job += 1) await producer.add('ship', `r${job}`);
      await until(async () => (await inspector.counts()).ship.delayed === 121);
      isOpen = true;
      for (const release of step.inside.values()) release();
      await until(() => step.ran.length === 123);
      expect(step.ran.at(-1)).toBe('research');
    }, 30_000);

    it('outside its window: comes back without end, uses no attempt, and its lane stays wide', async () => {
      const step = failing(
        () => new GatewayError('OUTSIDE_WINDOW', 'opens at 22:00', { facts: { retryAfterMs: 20 } }),
      );
      const worker = startWorker({ policy: { ...QUICK, patienceMs: 0 }, laneOf: byPrefix, run: step.run });
      await producer.add('ship', 'a-1');
      await until(() => step.attempts.length >= 5);
      expect(new Set(step.attempts.map(({ number }) => number))).toEqual(new Set([1]));
      expect(worker.givenUp).toEqual([]);
      const data: unknown = JSON.parse((await redis.hget('drawbridge:ship:ship.a-1', 'data')) ?? '');
      expect(data).toEqual({ id: 'a-1', patientSinceMs: expect.any(Number) });
    });

    it('jobs that come back from a delay keep their priority', async () => {
      for (const priority of ['low', 'routine', 'stat'] as const) {
        await producer.add('ship', priority, { priority, delayMs: 30 });
      }
      const dueMs = Date.now() + 30;
      await until(() => Date.now() > dueMs);
      const ran: string[] = [];
      startWorker({ run: async (id) => void ran.push(id), concurrency: 1 });
      await until(() => ran.length === 3);
      expect(ran).toEqual(['stat', 'routine', 'low']);
    });

    it('a peer that cannot be told is a failure of the step like any other', async () => {
      const worker = startWorker({
        laneOf: () => {
          throw new GatewayError('SPOOL_CORRUPT', 'record is unreadable');
        },
        run: async () => {},
      });
      await producer.add('ship', 'e1');
      await until(() => worker.givenUp.length === 1);
      expect(worker.givenUp).toMatchObject([{ id: 'e1', error: { code: 'SPOOL_CORRUPT' } }]);
    });

    it('a job of somebody else fails at once', async () => {
      const worker = startWorker({ run: async () => {} });
      const board = queuesForBoard(running.connection);
      const ship = board.queues.find((queue) => queue.name === 'ship');
      await until(() => ship?.add('x', { patient: 'nobody' }, { attempts: 9 }));
      await until(async () => (await inspector.counts()).ship.failed === 1);
      expect(worker.givenUp).toEqual([]);
      await board.close();
    });

    it('everything erased in the middle: the step is stopped, nothing hangs, and jobs go on', async () => {
      const ran: string[] = [];
      let stopped = false;
      const worker = startWorker({
        run: async (id, signal) => {
          ran.push(id);
          if (id !== 'e1') return;
          await new Promise<void>((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              stopped = true;
              reject(new Error('stopped'));
            });
          });
        },
      });
      await producer.add('ship', 'e1');
      await until(() => ran.length === 1);
      await redis.flushall();
      await producer.add('ship', 'e2');
      await until(() => ran.includes('e2'));
      await until(() => stopped);
      expect(worker.givenUp).toEqual([]);
    });

    it('the board is given a queue for each stage', async () => {
      await producer.add('ship', 'e1');
      const board = queuesForBoard(running.connection);
      expect(board.queues.map((queue) => queue.name)).toEqual(Object.keys(POLICIES));
      const ship = board.queues.find((queue) => queue.name === 'ship');
      expect(await ship?.getJobCounts('prioritized')).toEqual({ prioritized: 1 });
      await board.close();
    });
  });
}

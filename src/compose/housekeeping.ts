/**
 * What a gateway does now and then: measures the disk, looks at what the workers wrote, puts unfinished work back on the
 * queues, and forgets what is proved and old.
 */
import type { Settings } from '../config/settings.js';
import { type Delivery, isEnded } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { isReceptionEnded, type Reception } from '../domain/reception.js';
import type { GatewayError } from '../errors/gateway-error.js';
import { sweepTransactions } from '../inbound/commitment-sweep.js';
import type { InboundParts } from '../inbound/parts.js';
import { recoverReceptions } from '../inbound/recover.js';
import { sweepReceptions } from '../inbound/sweep.js';
import type { CompletionParts } from '../outbound/complete-study.js';
import { recoverDeliveries } from '../outbound/recover.js';
import { sweepStudies } from '../outbound/sweep.js';
import type { RunningRedis } from '../queue/redis/running-redis.js';
import type { StoredRecord } from '../spool/record-store.js';
import { measureSpace, SPACE_EVERY_MS, type Space, spaceRefusal } from '../spool/space.js';
import type { Changes } from './changes.js';
import type { RecordIndex } from './record-index.js';

const LOOK_EVERY_MS = 500;
const RECOVER_EVERY_MS = 60_000;
const SWEEP_EVERY_MS = 10 * 60_000;
const HOUR_MS = 3_600_000;

export interface HousekeepingParts {
  readonly outbound: CompletionParts;
  readonly inbound: InboundParts;
  readonly deliveries: RecordIndex<Delivery>;
  readonly receptions: RecordIndex<Reception>;
  readonly redis: RunningRedis;
  readonly changes: Changes;
  readonly settings: Settings;
}

export interface Housekeeping {
  /** The disk has been measured, and the queues hold what the records ask for, as far as Redis is there. */
  readonly ready: Promise<void>;
  space(): Space;
  spaceRefusal(): GatewayError | undefined;
  redisUp(): boolean;
  stop(): Promise<void>;
}

export function startHousekeeping(parts: HousekeepingParts): Housekeeping {
  const { outbound, inbound, settings, changes } = parts;
  const { log } = outbound;
  let space: Space = { freeBytes: 0, totalBytes: 0, state: 'ok' };
  let redisUp = true;
  const timers: NodeJS.Timeout[] = [];
  const running = new Set<Promise<void>>();

  const measure = async () => {
    const before = space.state;
    space = await measureSpace(settings.dataDir, settings.disk);
    if (space.state === before) return;
    const write = space.state === 'ok' ? log.info : log.warn;
    write.call(log, { event: 'disk.state_changed', state: space.state, freeBytes: space.freeBytes });
    changes.notify();
  };

  const look = async () => {
    const changed = await Promise.all([parts.deliveries.refresh(), parts.receptions.refresh()]);
    if (changed.includes(true)) changes.notify();
  };

  const recover = async () => {
    await recoverDeliveries(outbound, unfinished(parts.deliveries, isEnded));
    await recoverReceptions(inbound, unfinished(parts.receptions, isReceptionEnded));
    redisUp = true;
  };

  const sweep = async () => {
    await sweepStudies(outbound, settings.retention.verifiedHours * HOUR_MS);
    await sweepReceptions(inbound, settings.retention.deliveredHours * HOUR_MS);
    await sweepTransactions(inbound);
  };

  /** One run at a time; what it throws is logged, and the next one tries again. */
  const run = async (name: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      log.warn({ event: 'housekeeping.failed', task: name, reason: String(error) });
    }
  };

  const every = (name: string, everyMs: number, work: () => Promise<void>) => {
    let busy = false;
    const timer = setInterval(() => {
      if (busy) return;
      busy = true;
      const promise = run(name, work).finally(() => {
        busy = false;
        running.delete(promise);
      });
      running.add(promise);
    }, everyMs);
    timers.push(timer);
  };

  parts.redis.onDown(() => {
    redisUp = false;
    changes.notify();
  });
  parts.redis.onRestored(() => {
    redisUp = true;
    changes.notify();
    void run('recover', recover);
  });
  every('look', LOOK_EVERY_MS, look);
  every('space', SPACE_EVERY_MS, measure);
  every('recover', RECOVER_EVERY_MS, recover);
  every('sweep', SWEEP_EVERY_MS, sweep);

  return {
    ready: run('space', measure).then(() => run('recover', recover)),
    space: () => space,
    spaceRefusal: () => spaceRefusal(space),
    redisUp: () => redisUp,
    async stop() {
      for (const timer of timers) clearInterval(timer);
      await Promise.all(running);
    },
  };
}

/** From memory, since years of finished records lie on the disk. */
function unfinished<R extends StoredRecord>(
  index: RecordIndex<R>,
  isFinished: (record: R) => boolean,
): readonly EnvelopeId[] {
  return index
    .all()
    .filter((record) => !isFinished(record))
    .map(({ id }) => id);
}

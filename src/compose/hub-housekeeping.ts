/** What a hub does now and then: measures the disk, parks and removes what nobody takes, opens what is for itself. */
import type { Settings } from '../config/settings.js';
import type { GatewayError } from '../errors/gateway-error.js';
import type { Uploads } from '../http/tus/uploads.js';
import { expireParcels } from '../hub/expire.js';
import type { HubParts } from '../hub/parts.js';
import { noticeLost } from '../hub/recover.js';
import type { Unwrapper } from '../hub/unwrap.js';
import { measureSpace, SPACE_EVERY_MS, type Space, spaceRefusal } from '../spool/space.js';
import type { Changes } from './changes.js';

const SWEEP_EVERY_MS = 60_000;

export interface HubHousekeepingParts {
  readonly hub: HubParts;
  readonly uploads: Pick<Uploads, 'sweep'>;
  readonly unwrapper: Pick<Unwrapper, 'wake'>;
  readonly disk: Settings['disk'];
  readonly changes: Changes;
}

export interface HubHousekeeping {
  space(): Space;
  spaceRefusal(): GatewayError | undefined;
  /** Does all of it at once. */
  tick(): Promise<void>;
  stop(): Promise<void>;
}

/** Resolves when all has been done once. */
export async function startHubHousekeeping(parts: HubHousekeepingParts): Promise<HubHousekeeping> {
  const { hub, disk, changes } = parts;
  const { layout, clock, log } = hub;
  let space = await measureSpace(layout.dataDir, disk);

  const measure = async () => {
    const before = space.state;
    space = await measureSpace(layout.dataDir, disk);
    if (space.state === before) return;
    const write = space.state === 'ok' ? log.info : log.warn;
    write.call(log, { event: 'disk.state_changed', state: space.state, freeBytes: space.freeBytes });
    changes.notify();
  };
  const sweep = async () => {
    await noticeLost(hub);
    await expireParcels(hub);
    await parts.uploads.sweep(clock.now());
    parts.unwrapper.wake();
  };

  /** One after the other; what one throws is logged, and the next round tries again. */
  let running: Promise<void> = Promise.resolve();
  const run = (task: string, work: () => Promise<void>): Promise<void> => {
    running = running.then(work).catch((error: unknown) => {
      log.warn({ event: 'housekeeping.failed', task, reason: String(error) });
    });
    return running;
  };
  const timers = [
    setInterval(() => void run('space', measure), SPACE_EVERY_MS),
    setInterval(() => void run('sweep', sweep), SWEEP_EVERY_MS),
  ];
  await run('sweep', sweep);

  return {
    space: () => space,
    spaceRefusal: () => spaceRefusal(space),
    async tick() {
      await run('space', measure);
      await run('sweep', sweep);
    },
    async stop() {
      for (const timer of timers) clearInterval(timer);
      await running;
    },
  };
}

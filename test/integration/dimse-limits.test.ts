/** Limits of the intake: each is refused in its own way, nothing half-written is kept, and all goes on afterwards. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Scp, type ScpOptions, startScp } from '../../src/dimse/scp.js';
import { systemClock } from '../../src/domain/clock.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { silentLog } from '../../src/observe/log.js';
import { createFeeding } from '../../src/outbound/feeding.js';
import { createIntake } from '../../src/outbound/intake.js';
import { createSpool } from '../../src/spool/envelope-store.js';
import { createLayout, type Layout } from '../../src/spool/layout.js';
import type { StudyLimits } from '../../src/spool/stored-study.js';
import { openStudyStore, type StudyStore } from '../../src/spool/study-store.js';
import { holdMounts } from '../support/ftp/enclosure.js';
import type { RunningProcess } from '../support/processes.js';
import { until } from '../support/until.js';
import {
  associate,
  associateRequest,
  type Caller,
  CT,
  data,
  dial,
  echo,
  storeRequest,
} from './dimse-scp-caller.js';

const SUCCESS = 0;
const OUT_OF_RESOURCES = 0xa700;
const ABORT = 7;
const MIB = 1024 ** 2;

let folder: string;
let layout: Layout;
let studies: StudyStore;
let scp: Scp;
let full: GatewayError | undefined;
const callers: Caller[] = [];

const start = async (
  more: Partial<ScpOptions> = {},
  limits: Partial<StudyLimits> = {},
  dataDir = join(folder, 'data'),
): Promise<void> => {
  layout = createLayout(dataDir);
  await createSpool(layout);
  studies = await openStudyStore(layout, { limits: { maxBytes: 1e9, maxInstances: 1e6, ...limits } });
  const parts = { studies, feeding: createFeeding(), clock: systemClock, log: silentLog };
  scp = await startScp({
    host: '127.0.0.1',
    port: 0,
    policy: { calledAes: ['DRAWBRIDGE'], callers: [], anyCaller: true, privateSopClasses: [] },
    handler: createIntake({ ...parts, refusal: () => full, arrived: () => undefined }),
    log: silentLog,
    idleTimeoutMs: 20_000,
    acceptTimeoutMs: 5_000,
    maxAssociations: 20,
    maxAssociationsPerCaller: 20,
    maxPduBytes: 65_536,
    maxInstanceBytes: 1e9,
    admission: () => full,
    ...more,
  });
};

const call = async (): Promise<Caller> => {
  const caller = await associate(scp.port);
  callers.push(caller);
  return caller;
};

/** A data set of about `bytes` in Implicit VR Little Endian, by the fragment. */
const dataSet = (instance: string, study: string, bytes: number): Buffer[] => {
  const element = (group: number, number: number, value: Buffer) => {
    const header = Buffer.alloc(8);
    header.writeUInt16LE(group, 0);
    header.writeUInt16LE(number, 2);
    header.writeUInt32LE(value.length, 4);
    return Buffer.concat([header, value]);
  };
  const text = (value: string) => Buffer.from(value.length % 2 === 0 ? value : `${value}\0`);
  const whole = Buffer.concat([
    element(0x0008, 0x0016, text(CT)),
    element(0x0008, 0x0018, text(instance)),
    element(0x0020, 0x000d, text(study)),
    element(0x0020, 0x000e, text(`${study}.1`)),
    element(0x7fe0, 0x0010, Buffer.alloc(bytes)),
  ]);
  const pieces: Buffer[] = [];
  for (let at = 0; at < whole.length; at += 60_000) {
    pieces.push(data(whole.subarray(at, at + 60_000), at + 60_000 >= whole.length));
  }
  return pieces;
};

/** Stores an instance, and gives the status that answers it. */
const store = async (
  caller: Caller,
  instance: string,
  { study = '1.2.3', bytes = 100 } = {},
): Promise<number> => {
  const before = caller.statuses().length;
  caller.send(storeRequest(instance), ...dataSet(instance, study, bytes));
  await until(() => caller.statuses().length > before, { what: `${instance} is answered` });
  return caller.statuses()[before] ?? -1;
};

const keptInstances = async (): Promise<number> => {
  const keys = await studies.keys();
  const found = await Promise.all(keys.map((key) => studies.find(key)));
  return found.reduce((sum, study) => sum + (study?.instances.size ?? 0), 0);
};

beforeEach(async () => {
  full = undefined;
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-limits-'));
});
afterEach(async () => {
  for (const { socket } of callers.splice(0)) socket.destroy();
  await scp.close(0);
  await rm(folder, { recursive: true, force: true });
});

describe('a disk', () => {
  it('that is nearly full: an open association hears 0xA700, a new one is refused, and both recover by themselves', async () => {
    await start();
    const caller = await call();
    expect(await store(caller, '1.1')).toBe(SUCCESS);
    full = new GatewayError('SPOOL_ABOVE_WATERMARK', 'full');
    expect(await store(caller, '1.2')).toBe(OUT_OF_RESOURCES);
    const refused = await dial(scp.port);
    refused.send(associateRequest());
    await refused.ended;
    expect([...refused.received().subarray(7)]).toEqual([2, 3, 1]);
    expect(await readdir(layout.incoming)).toEqual([]);
    full = undefined;
    expect(await store(caller, '1.2')).toBe(SUCCESS);
    await echo(scp.port);
    expect(await keptInstances()).toBe(2);
  });

  const isRootOnLinux = process.platform === 'linux' && process.getuid?.() === 0;
  it.runIf(isRootOnLinux)(
    'that fills up in the middle of an instance: 0xA700, nothing of it is kept, and a smaller one fits',
    async () => {
      const holder: RunningProcess = await holdMounts(folder, folder, { line: [], logs: [] }, 4 * MIB);
      try {
        await start({}, {}, join(`/proc/${holder.pid}/root`, folder, 'data'));
        const caller = await call();
        expect(await store(caller, '1.1', { bytes: 8 * MIB })).toBe(OUT_OF_RESOURCES);
        expect(await readdir(layout.incoming)).toEqual([]);
        expect(await keptInstances()).toBe(0);
        expect(await store(caller, '1.2', { bytes: MIB })).toBe(SUCCESS);
        expect(await keptInstances()).toBe(1);
      } finally {
        await scp.close(0);
        await holder.stop();
      }
    },
  );
});

describe('a study that has grown to its limit', () => {
  it('gets 0xA700 for the next instance, takes repeats, and leaves other studies alone', async () => {
    await start({}, { maxInstances: 2 });
    const caller = await call();
    expect([await store(caller, '1.1'), await store(caller, '1.2')]).toEqual([SUCCESS, SUCCESS]);
    expect(await store(caller, '1.3')).toBe(OUT_OF_RESOURCES);
    expect(await store(caller, '1.1')).toBe(SUCCESS);
    expect(await store(caller, '1.3', { study: '1.2.4' })).toBe(SUCCESS);
    expect([await keptInstances(), await readdir(layout.incoming)]).toEqual([3, []]);
  });

  it('in bytes, takes what still fits', async () => {
    await start({}, { maxBytes: 10_000 });
    const caller = await call();
    expect(await store(caller, '1.1', { bytes: 6_000 })).toBe(SUCCESS);
    expect(await store(caller, '1.2', { bytes: 6_000 })).toBe(OUT_OF_RESOURCES);
    expect(await store(caller, '1.3', { bytes: 2_000 })).toBe(SUCCESS);
    expect(await keptInstances()).toBe(2);
  });

  it('does not pass it when eight associations bring one instance each at the same moment', async () => {
    await start({}, { maxInstances: 3 });
    const eight = await Promise.all(Array.from({ length: 8 }, call));
    const statuses = await Promise.all(eight.map((caller, n) => store(caller, `1.${n + 1}`)));
    expect(statuses.filter((status) => status === SUCCESS)).toHaveLength(3);
    expect(statuses.filter((status) => status === OUT_OF_RESOURCES)).toHaveLength(5);
    expect(await keptInstances()).toBe(3);
  });

  it('has it still after a restart', async () => {
    await start({}, { maxInstances: 1 });
    expect(await store(await call(), '1.1')).toBe(SUCCESS);
    await scp.close(0);
    await start({}, { maxInstances: 1 });
    expect(await store(await call(), '1.2')).toBe(OUT_OF_RESOURCES);
  });
});

describe('an association that lasts too long', () => {
  it('is aborted at once when nothing is under way', async () => {
    await start({ maxAssociationMs: 50 });
    const caller = await call();
    await caller.ended;
    expect(caller.received().at(-10)).toBe(ABORT);
  });

  it('is aborted after the instance under way, which is answered and kept', async () => {
    await start({ maxAssociationMs: 800 });
    const caller = await call();
    const [first = Buffer.alloc(0), ...rest] = dataSet('1.1', '1.2.3', 200_000);
    caller.send(storeRequest('1.1'), first);
    const bystander = await call();
    // Opened later, and idle: when it is gone, the time of the first one is over as well.
    await bystander.ended;
    expect(caller.statuses()).toEqual([]);
    caller.send(...rest);
    await caller.ended;
    expect(caller.statuses()).toEqual([SUCCESS]);
    expect(caller.received().at(-10)).toBe(ABORT);
    expect(await keptInstances()).toBe(1);
  });

  it('is ended even when its instance never does', async () => {
    await start({ maxAssociationMs: 50, idleTimeoutMs: 200 });
    const caller = await call();
    caller.send(storeRequest('1.1'));
    const drip = setInterval(() => caller.send(data(Buffer.from('x'), false)), 20);
    await caller.ended;
    clearInterval(drip);
    await until(() => scp.associations().length === 0, { what: 'it is over' });
    expect(await readdir(layout.incoming)).toEqual([]);
  });
});

it('a host that sends faster than it may is made to wait, over all of its associations, and is not taken for silent', async () => {
  await start({ bytesPerSecondPerCaller: 10_000, idleTimeoutMs: 600 });
  const [first, second] = await Promise.all([call(), call()]);
  const piece = data(Buffer.alloc(60_000), false);
  for (const caller of [first, second]) {
    caller.send(storeRequest('1.1'), ...Array.from({ length: 600 }, () => piece));
  }
  // Once the kernel's buffers on both sides are full, nothing moves: what is left waits in the sender.
  let left = -1;
  await until(
    () => {
      const before = left;
      left = first.socket.writableLength + second.socket.writableLength;
      return before === left;
    },
    // Longer than the silence that ends an association.
    { what: 'both are stopped', everyMs: 900 },
  );
  expect(left).toBeGreaterThan(20 * MIB);
  expect(scp.associations()).toHaveLength(2);
  expect(scp.associations().reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(MIB);
  await scp.close(0);
  await Promise.all([first.ended, second.ended]);
});

it('of many that ask at the same moment, no more are taken than may be open', async () => {
  await start({ maxAssociations: 5, maxAssociationsPerCaller: 5 });
  const asking = await Promise.all(Array.from({ length: 12 }, () => dial(scp.port)));
  callers.push(...asking);
  for (const caller of asking) caller.send(associateRequest());
  await until(() => asking.every((caller) => caller.received().length > 0), { what: 'all are answered' });
  expect(asking.filter((caller) => caller.received()[0] === 2)).toHaveLength(5);
  expect(scp.associations()).toHaveLength(5);
});

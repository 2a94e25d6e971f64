/**
 * A bridge on a data disk with no byte left, which is killed, stopped, and started there: it comes up each time with all
 * that it had, refuses what it cannot keep, and takes it again as soon as there is room.
 */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { holdMounts } from '../support/ftp/enclosure.js';
import { freePort } from '../support/ports.js';
import { type RunningProcess, startProcess } from '../support/processes.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';
import { associate, CT, data, echo, storeRequest } from './dimse-scp-caller.js';

const LAUNCHER = fileURLToPath(new URL('../../dist/src/cli/launch.js', import.meta.url));
const DISK_BYTES = 8 * 1024 ** 2;
const SUCCESS = 0;
const OUT_OF_RESOURCES = 0xa700;
const LONG_MS = 60_000;

let folder: string;
let port: number;
let holder: RunningProcess;
let bridge: RunningProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-full-'));
  await mkdir(join(folder, 'data'));
  port = await freePort();
  const config = {
    site: { id: 'site-a', name: 'Hospital A', contact: 'pacs@a.example' },
    dimse: { host: '127.0.0.1', port, aeTitles: ['DRAWBRIDGE'], anyCaller: true },
    https: { listen: false },
    dashboard: { port: await freePort() },
    disk: { warnFreeBytes: 0, refuseFreeBytes: 0 },
    redis: { download: false },
  };
  await writeFile(join(folder, 'drawbridge.yaml'), JSON.stringify(config));
});
afterEach(async () => {
  await bridge?.stop();
  await holder.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The data folder as the bridge sees it, on the disk of its own. */
const onDisk = (...parts: readonly string[]) => join(`/proc/${holder.pid}/root`, folder, 'data', ...parts);

const up = async (): Promise<RunningProcess> => {
  bridge = await startProcess({
    command: 'nsenter',
    args: [
      `--mount=/proc/${holder.pid}/ns/mnt`,
      ...[process.execPath, LAUNCHER, 'up', '--config', join(folder, 'drawbridge.yaml')],
    ],
    ready: /dashboard: http/,
  });
  return bridge;
};

/** To the last byte. */
const fill = () => {
  const file = openSync(onDisk('ballast'), 'a');
  for (let bytes = 1024 ** 2; bytes >= 1; bytes /= 16) {
    try {
      for (;;) writeSync(file, Buffer.alloc(bytes));
    } catch {
      // No more of this size.
    }
  }
  closeSync(file);
};

/** An element in Implicit VR Little Endian. */
const element = (tag: number, value: Buffer | string): Buffer => {
  const header = Buffer.alloc(8);
  header.writeUInt16LE(tag >>> 16, 0);
  header.writeUInt16LE(tag & 0xffff, 2);
  const bytes = Buffer.from(value);
  const even = bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
  header.writeUInt32LE(even.length, 4);
  return Buffer.concat([header, even]);
};

/** Stores an instance of study 1.2.3, and gives the status that answers it. */
const store = async (instance: string): Promise<number> => {
  const caller = await associate(port);
  const dataSet = Buffer.concat([
    element(0x0008_0016, CT),
    element(0x0008_0018, instance),
    element(0x0020_000d, '1.2.3'),
    element(0x0020_000e, '1.2.3.1'),
    element(0x7fe0_0010, Buffer.alloc(20_000)),
  ]);
  caller.send(storeRequest(instance), data(dataSet.subarray(0, 10_000), false));
  caller.send(data(dataSet.subarray(10_000), true));
  await until(() => caller.statuses().length === 1, { what: `${instance} is answered` });
  caller.socket.destroy();
  return caller.statuses()[0] ?? -1;
};

const kept = (): readonly string[] =>
  readdirSync(onDisk('studies'))
    .flatMap((key) => readdirSync(onDisk('studies', key)))
    .filter((name) => name.endsWith('.dcm'))
    .sort();

const isRootOnLinux = process.platform === 'linux' && process.getuid?.() === 0;

describeWith('redis', 'a full data disk', () => {
  it.runIf(isRootOnLinux)(
    'keeps no bridge from starting, neither after a kill nor after a stop',
    async () => {
      holder = await holdMounts(folder, join(folder, 'data'), { line: [], logs: [] }, DISK_BYTES);
      let running = await up();
      expect(await store('1.1')).toBe(SUCCESS);
      const token = readFileSync(onDisk('keys', 'api.token'), 'utf8');
      fill();
      expect(await store('1.2')).toBe(OUT_OF_RESOURCES);

      running.kill('SIGKILL');
      await running.ended;
      // What it had not yet noted of the instance is read from its file.
      for (const key of readdirSync(onDisk('studies'))) rmSync(onDisk('studies', key, 'journal.jsonl'));
      fill();
      running = await up();
      await echo(port);
      fill();
      expect(await store('1.2')).toBe(OUT_OF_RESOURCES);

      await running.stop();
      fill();
      await up();
      await echo(port);
      fill();
      expect(await store('1.2')).toBe(OUT_OF_RESOURCES);
      expect(kept()).toEqual(['1.1.dcm']);
      expect(readFileSync(onDisk('keys', 'api.token'), 'utf8')).toBe(token);

      rmSync(onDisk('ballast'));
      expect(await store('1.2')).toBe(SUCCESS);
      expect(await store('1.1')).toBe(SUCCESS);
      expect(kept()).toEqual(['1.1.dcm', '1.2.dcm']);
      expect(existsSync(onDisk('redis', 'data.unreadable'))).toBe(false);
    },
    LONG_MS,
  );
});

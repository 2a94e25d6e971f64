/** Who takes a study in: ours, DCMTK's storescp, Orthanc. Each starts empty, in a process of its own. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeOptions } from '../test/support/node-options.js';
import { startOrthanc } from '../test/support/orthanc.js';
import { freePort } from '../test/support/ports.js';
import { startProcess } from '../test/support/processes.js';
import { tool } from '../test/support/tools.js';

export interface Receiver {
  readonly port: number;
  /** Absent where one process does not tell what it costs. */
  readonly pid?: number;
  /** Where its files are. */
  readonly folder: string;
  /** Instances that it holds. */
  stored(): Promise<number>;
  /** Ends it, and removes what it stored. */
  stop(): Promise<void>;
}

/** @param root where its folder goes */
export type StartReceiver = (root: string) => Promise<Receiver>;

/** The C-STORE SCP, the intake and the store of a gateway, without Redis (`dimse-receive-child`). */
export function drawbridge(options: { readonly isUnsynced?: boolean } = {}): StartReceiver {
  return async (root) => {
    const folder = await mkdtemp(join(root, 'ours-'));
    const running = await startProcess({
      command: process.execPath,
      args: [
        ...nodeOptions(),
        ...(options.isUnsynced === true ? ['--import', beside('unsynced.js')] : []),
        ...profiling(),
        beside('dimse-receive-child.js'),
        folder,
      ],
      ready: /"port":\d+/,
    });
    return {
      port: Number(/"port":(\d+)/.exec(running.output())?.[1]),
      pid: running.pid,
      folder,
      stored: () => countFiles(folder, '.dcm'),
      async stop() {
        await running.stop();
        await rm(folder, { recursive: true, force: true });
      },
    };
  };
}

export function storescp(...args: readonly string[]): StartReceiver {
  return async (root) => {
    const folder = await mkdtemp(join(root, 'storescp-'));
    const received = join(folder, 'received');
    await mkdir(received);
    const port = await freePort();
    const running = await startProcess({
      command: tool('dcmtk', 'storescp'),
      args: [...args, '+xa', '-od', received, String(port)],
      // Without it, DCMTK holds answers back for 40 ms each.
      env: { TCP_NODELAY: '1' },
      ready: { port },
    });
    return {
      port,
      pid: running.pid,
      folder: received,
      stored: () => countFiles(received, ''),
      async stop() {
        await running.stop();
        await rm(folder, { recursive: true, force: true });
      },
    };
  };
}

/** With SQLite, and its storage empty each time. */
export const orthanc: StartReceiver = async () => {
  const running = await startOrthanc();
  return {
    port: running.dicomPort,
    pid: running.pid,
    folder: '',
    stored: async () => (await running.instances()).length,
    stop: running.stop,
  };
};

/** A program of the benchmark, compiled. */
export function beside(name: string): string {
  return fileURLToPath(new URL(`./${name}`, import.meta.url));
}

/** BENCH_PROFILE names a folder for CPU profiles of our processes. */
export function profiling(): readonly string[] {
  const folder = process.env['BENCH_PROFILE'];
  return folder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${folder}`];
}

/** Files below a folder whose names end so. */
export async function countFiles(folder: string, end: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && entry.name.endsWith(end)).length;
}

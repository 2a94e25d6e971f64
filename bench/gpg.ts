/** GnuPG as the others use it: a key, and contestants that encrypt to it and decrypt with it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Contestant, Measured } from './measure.js';

const run = promisify(execFile);

export interface Gpg {
  /** For `bench`. */
  makeKey(): Promise<void>;
  /** @returns where the message is */
  make(name: string, args: readonly string[], input: string): Promise<string>;
  /** From one file to another; less what the same takes for `empty`. */
  alone(name: string, args: readonly string[], input: string, empty: string): Contestant;
  /** The study's files instead of one tar of them: tar starts gpg, and is done when both are; less what gpg takes for `empty`. */
  withTar(name: string, args: readonly string[], empty: string, tarArgs: () => readonly string[]): Contestant;
  /** No agent stays behind. */
  stop(): Promise<void>;
}

/** @param root a folder for what it makes */
export function createGpg(root: string): Gpg {
  const home = join(root, 'gnupg');
  const common = ['--homedir', home, '--batch', '--quiet', '--yes', '--trust-model', 'always'];

  const gpg = (args: readonly string[], input: string, output: string): Promise<Measured> =>
    timed('gpg', [...common, '-o', output, ...args, input]);

  return {
    async makeKey() {
      await mkdir(home, { mode: 0o700 });
      await run('gpg', [
        ...['--homedir', home, '--batch', '--quiet', '--passphrase', ''],
        ...['--quick-generate-key', 'bench', 'default', 'default', 'never'],
      ]);
    },
    async make(name, args, input) {
      const path = join(root, `${name}.gpg`);
      await gpg(args, input, path);
      return path;
    },
    alone: (name, args, input, empty) => ({
      name,
      async run() {
        const { seconds: idle } = await gpg(args, empty, join(root, 'idle'));
        const { seconds, ...more } = await gpg(args, input, join(root, 'gpg'));
        return { seconds: seconds - idle, ...more };
      },
    }),
    withTar: (name, args, empty, tarArgs) => ({
      name,
      goal: 'none',
      async run() {
        const { seconds: idle } = await gpg(args, empty, join(root, 'idle'));
        const { seconds } = await timed('tar', ['-I', ['gpg', ...common, ...args].join(' '), ...tarArgs()]);
        return { seconds: seconds - idle };
      },
    }),
    async stop() {
      await run('gpgconf', ['--homedir', home, '--kill', 'all']).catch(() => undefined);
    },
  };
}

async function timed(command: string, args: readonly string[]): Promise<Measured> {
  const startedAtMs = performance.now();
  const process = spawn(command, args, { stdio: 'ignore' });
  const peak = watchPeak(process);
  const [code] = (await once(process, 'close')) as [number];
  const seconds = (performance.now() - startedAtMs) / 1000;
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
  const peakMib = peak();
  return { seconds, ...(peakMib === undefined ? {} : { peakMib }) };
}

/** The kernel's own high-water mark (proc(5), VmHWM), as long as the process is there to be asked. */
function watchPeak({ pid }: ChildProcess): () => number | undefined {
  let peakMib: number | undefined;
  const timer = setInterval(() => {
    try {
      const kib = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      if (kib !== undefined) peakMib = Number(kib) / 1024;
    } catch {
      // It has ended, or this is no Linux.
    }
  }, 20);
  return () => {
    clearInterval(timer);
    return peakMib;
  };
}

/**
 * Starts programs for tests, each in a temporary folder of its own, and sees to it that none is left behind: they
 * are stopped by their pid, at the latest when the process of the tests ends, however it ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isListening } from './ports.js';
import { until } from './until.js';

/** A program that says more keeps its last words. */
const MAX_OUTPUT_CHARACTERS = 1_000_000;
const READY_TIMEOUT_MS = 30_000;
const RUN_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 10_000;

/** On Linux the kernel ends the child with its parent, even when that was killed. */
const SETPRIV =
  process.platform === 'linux' ? ['/usr/bin/setpriv', '/bin/setpriv'].find(existsSync) : undefined;

export interface Program {
  readonly command: string;
  readonly args?: readonly string[];
  /** Added to our own environment; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Working folder; default: a temporary one, removed at the end. */
  readonly folder?: string;
}

export interface RunningProcess {
  readonly pid: number;
  /** Its working folder. */
  readonly folder: string;
  /** What it wrote to stdout and stderr so far. */
  output(): string;
  /** Resolves when it has ended, by itself or by us. */
  readonly ended: Promise<Ending>;
  /** Sends a signal; does nothing when it has ended. */
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL after 10 s; removes the temporary folder. May be called again. */
  stop(): Promise<void>;
}

export interface Ending {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Result {
  /** Exit code; -1 when a signal ended it. */
  readonly code: number;
  /** What it wrote to stdout and stderr. */
  readonly output: string;
}

const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/**
 * Starts a program that stays, and waits until it is ready: until a line of its output matches, or its port answers.
 * @throws Error with its output, when it ends before that or is not ready within `timeoutMs` (default 30 s)
 */
export async function startProcess(
  program: Program & { readonly ready: RegExp | { readonly port: number }; readonly timeoutMs?: number },
): Promise<RunningProcess> {
  const running = await launch(program);
  const { ready } = program;
  let ending: Ending | undefined;
  running.ended.then((value) => {
    ending = value;
  });
  try {
    await until(
      async () => {
        if (ending !== undefined) return true;
        return ready instanceof RegExp ? ready.test(running.output()) : await isListening(ready.port);
      },
      { timeoutMs: program.timeoutMs ?? READY_TIMEOUT_MS, what: `${program.command} is ready` },
    );
    if (ending !== undefined) throw new Error(`${program.command} ended at once, ${sayEnding(ending)}`);
    return running;
  } catch (error) {
    await running.stop();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${reason}\n${running.output()}`, { cause: error });
  }
}

/**
 * Runs a program to its end. An exit code other than 0 is a result, not an error.
 * @throws Error with its output, when it cannot be started or takes longer than `timeoutMs` (default 60 s)
 */
export async function runProcess(program: Program & { readonly timeoutMs?: number }): Promise<Result> {
  const running = await launch(program);
  const timeoutMs = program.timeoutMs ?? RUN_TIMEOUT_MS;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    running.kill('SIGKILL');
  }, timeoutMs);
  const ending = await running.ended;
  clearTimeout(timer);
  await running.stop();
  if (late) throw new Error(`${program.command} did not end within ${timeoutMs} ms\n${running.output()}`);
  return { code: ending.code ?? -1, output: running.output() };
}

async function launch(program: Program): Promise<RunningProcess> {
  const own = program.folder === undefined;
  const folder = program.folder ?? (await mkdtemp(join(tmpdir(), 'drawbridge-process-')));
  const line = [program.command, ...(program.args ?? [])];
  const [command, ...args] = SETPRIV === undefined ? line : [SETPRIV, '--pdeathsig', 'KILL', ...line];
  const child = spawn(command ?? program.command, args, {
    cwd: folder,
    env: { ...process.env, ...program.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  alive.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-MAX_OUTPUT_CHARACTERS);
    });
  }
  const ended = new Promise<Ending>((resolve) => {
    child.once('error', (error) => {
      output += String(error);
      resolve({ code: -1, signal: null });
    });
    // Not 'exit': what it wrote last would still be on its way.
    child.once('close', (code, signal) => resolve({ code, signal }));
  }).finally(() => alive.delete(child));
  const kill = (signal: NodeJS.Signals) => {
    child.kill(signal);
  };
  return {
    pid: child.pid ?? -1,
    folder,
    output: () => output,
    ended,
    kill,
    async stop() {
      const timer = setTimeout(() => kill('SIGKILL'), STOP_GRACE_MS);
      kill('SIGTERM');
      await ended;
      clearTimeout(timer);
      if (own) await rm(folder, { recursive: true, force: true });
    },
  };
}

function sayEnding(ending: Ending): string {
  return ending.signal === null ? `exit code ${ending.code}` : `by ${ending.signal}`;
}

/**
 * Runs gpg once, as a process of its own: bytes in and out as streams with back-pressure, its status where others write
 * their errors, no terminal, no questions, no network. It is killed on an abort, when either stream fails, and when
 * nothing moves any more. What its status means, the caller decides.
 *
 * A private key is used by GnuPG's agent alone. `gpg-agent --daemon gpg …` starts an agent that ends with that gpg, even
 * if all of us are killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../errors/gateway-error.js';
import { closeWorkshop, companionOf, type Gnupg, keyringOf, openWorkshop } from './home.js';
import { readStatus, type StatusLine } from './status.js';

export interface GpgCall<T> {
  /** The command of gpg with what belongs to it. */
  readonly args: readonly string[];
  /** What of our home it may touch. */
  readonly uses: 'nothing' | 'keyring' | 'private keys';
  /** For its standard input; empty when absent. */
  readonly input?: AsyncIterable<Buffer>;
  /** Reads its standard output to the end. */
  consume(output: Readable): Promise<T>;
  readonly signal?: AbortSignal;
}

export interface GpgOutcome<T> {
  readonly status: readonly StatusLine[];
  readonly exitCode: number;
  /** What `consume` gave, or how it failed: the caller knows whether gpg has a better reason. */
  readonly output: { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };
  /** What it said beside its status, most often of its own start; for people. */
  readonly words: string;
}

/** The exit code of a gpg that a signal has ended. */
export const KILLED = -1;

const SETTINGS = [
  ...['--batch', '--no-tty', '--no-greeting', '--no-random-seed-file', '--disable-dirmngr'],
  ...['--no-auto-key-locate', '--no-auto-key-retrieve', '--no-auto-check-trustdb'],
  ...['--display-charset', 'utf-8', '--pinentry-mode', 'loopback'],
  // Texts for people may hold what a message's author has chosen: nothing of that may come between the status lines.
  ...['--status-fd', '2', '--logger-file', '/dev/null'],
];
/** Nothing in, nothing out, nothing said for so long: it hangs. */
const LOOK_MS = 15_000;
const STALLED_LOOKS = 20;

/** @throws OPENPGP_UNAVAILABLE when it cannot be started, or hangs; CANCELLED; what `input` throws */
export async function runGpg<T>(gnupg: Gnupg, call: GpgCall<T>): Promise<GpgOutcome<T>> {
  call.signal?.throwIfAborted();
  const workshop = await openWorkshop(gnupg);
  try {
    return await runIn(workshop, gnupg, call);
  } finally {
    await closeWorkshop(gnupg, workshop);
  }
}

async function runIn<T>(workshop: string, gnupg: Gnupg, call: GpgCall<T>): Promise<GpgOutcome<T>> {
  const [command, ...args] = commandLine(workshop, gnupg, call);
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', LANG: 'C', LC_ALL: 'C', HOME: workshop },
  });
  const closed = once(child, 'close').catch(() => undefined);
  const kill = () => child.kill('SIGKILL');
  const { stdin, stdout, stderr } = child;
  const stall = watchForStall([stdin, stdout, stderr] as unknown as readonly Socket[], kill);
  call.signal?.addEventListener('abort', kill, { once: true });
  if (call.signal?.aborted === true) kill();
  const output = consumed(call, stdout, kill);
  try {
    const [exitCode, { status, words }] = await Promise.all([
      endOf(child),
      readStatus(stderr),
      feed(stdin, call.input),
    ]);
    call.signal?.throwIfAborted();
    if (stall.seen()) throw new GatewayError('OPENPGP_UNAVAILABLE', 'GnuPG hangs, and was stopped');
    return { status, exitCode, output: await output, words };
  } catch (error) {
    if (call.signal?.aborted !== true) throw error;
    throw new GatewayError('CANCELLED', 'GnuPG was stopped before it was done', { cause: error });
  } finally {
    stall.end();
    call.signal?.removeEventListener('abort', kill);
    kill();
    stdout.destroy();
    await closed;
    // Nothing may still be written when the caller clears up.
    await output;
  }
}

function commandLine<T>(workshop: string, gnupg: Gnupg, { args, uses }: GpgCall<T>): [string, ...string[]] {
  const gpg: [string, ...string[]] = [
    gnupg.command,
    ...['--homedir', workshop],
    ...(uses === 'nothing' ? [] : ['--no-default-keyring', '--keyring', keyringOf(gnupg)]),
    ...SETTINGS,
    ...(uses === 'private keys' ? passphraseArgs(gnupg) : []),
    '--no-autostart',
    ...args,
  ];
  if (uses !== 'private keys') return gpg;
  return [companionOf(gnupg, 'gpg-agent'), '--quiet', '--homedir', workshop, '--daemon', '--', ...gpg];
}

function passphraseArgs({ passphraseFile }: Gnupg): readonly string[] {
  return passphraseFile === undefined ? [] : ['--passphrase-file', passphraseFile];
}

/** @returns the exit code @throws OPENPGP_UNAVAILABLE when the program is not there */
async function endOf(child: ChildProcess): Promise<number> {
  try {
    const [code] = (await once(child, 'exit')) as [number | null];
    return code ?? KILLED;
  } catch (cause) {
    throw new GatewayError('OPENPGP_UNAVAILABLE', `GnuPG cannot be started: ${child.spawnfile}`, { cause });
  }
}

async function consumed<T>(
  { consume }: GpgCall<T>,
  output: Readable,
  kill: () => void,
): Promise<GpgOutcome<T>['output']> {
  try {
    return { ok: true, value: await consume(output) };
  } catch (error) {
    // What has been read to its end may still say what was wrong with it.
    if (!output.readableEnded) kill();
    return { ok: false, error };
  }
}

/** That gpg stops reading is told by its status, not by the pipe; that our own input fails is told here. */
async function feed(stdin: Writable, input: AsyncIterable<Buffer> = Readable.from([])): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  const guarded = async function* (): AsyncGenerator<Buffer, void, undefined> {
    try {
      yield* input;
    } catch (error) {
      failure = { error };
      throw error;
    }
  };
  await pipeline(guarded, stdin).catch(() => undefined);
  if (failure !== undefined) throw failure.error;
}

function watchForStall(pipes: readonly Socket[], kill: () => void) {
  let movedBytes = -1;
  let looks = 0;
  let seen = false;
  const timer = setInterval(() => {
    const bytes = pipes.reduce((sum, { bytesRead, bytesWritten }) => sum + bytesRead + bytesWritten, 0);
    looks = bytes === movedBytes ? looks + 1 : 0;
    movedBytes = bytes;
    if (looks < STALLED_LOOKS) return;
    seen = true;
    kill();
  }, LOOK_MS);
  return { seen: () => seen, end: () => clearInterval(timer) };
}

/** Runs a program of the system to its end, with bounded time and output, without a shell. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Log } from '../../observe/log.js';

const execute = promisify(execFile);

const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;
const MAX_REASON_LENGTH = 2_000;

/**
 * What the program wrote to standard output; undefined when it is absent, fails, or takes longer than `timeoutMs`;
 * `log` then gets the reason.
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: {
    readonly timeoutMs: number;
    readonly cwd?: string;
    readonly env?: Record<string, string>;
    readonly log?: Log;
  },
): Promise<string | undefined> {
  try {
    const { stdout } = await execute(command, args, {
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: MAX_OUTPUT_BYTES,
      encoding: 'utf8',
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
    });
    return stdout;
  } catch (error) {
    const reason = String(error).slice(0, MAX_REASON_LENGTH);
    options.log?.debug({ event: 'redis.command_failed', command, args, reason });
    return undefined;
  }
}

/** A `redis-server` or `valkey-server` that this machine can run. */
import { isRecentEnough } from './probe.js';
import { runCommand } from './run-command.js';

const VERSION_TIMEOUT_MS = 10_000;

export interface ServerProgram {
  /** A name to be found on PATH, or an absolute path. */
  readonly command: string;
  /** Libraries that are not where the system looks for them. */
  readonly libraryPath?: string;
  /** `Redis 7.0.15`. */
  readonly version: string;
}

/** The one on PATH; undefined when there is none, or only one older than 6.2. */
export async function findInstalled(): Promise<ServerProgram | undefined> {
  return (await identify({ command: 'redis-server' })) ?? (await identify({ command: 'valkey-server' }));
}

/** Asks a program for its version; undefined when it does not run here, or is older than 6.2. */
export async function identify(program: Omit<ServerProgram, 'version'>): Promise<ServerProgram | undefined> {
  const env = programEnvironment(program);
  const output = await runCommand(program.command, ['--version'], {
    timeoutMs: VERSION_TIMEOUT_MS,
    ...(env === undefined ? {} : { env }),
  });
  // `Redis server v=7.0.15 sha=…`, `Valkey server v=8.1.1 sha=…`
  const match = /^(Redis|Valkey) server v=(\d+(?:\.\d+)*)/.exec(output ?? '');
  const [, name, version] = match ?? [];
  if (name === undefined || version === undefined || !isRecentEnough(version)) return undefined;
  return { ...program, version: `${name} ${version}` };
}

/** The environment to run it in; undefined for that of this process, which is needed to search PATH. */
export function programEnvironment(
  program: Pick<ServerProgram, 'libraryPath'>,
): Record<string, string> | undefined {
  return program.libraryPath === undefined ? undefined : { LD_LIBRARY_PATH: program.libraryPath };
}

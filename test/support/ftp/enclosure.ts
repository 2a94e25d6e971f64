/**
 * Where an FTP server runs: in a mount namespace, in which it sees files of ours in the place of the machine's, and
 * in a process namespace, so that all its sessions end with it. Linux, and root alone.
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type RunningProcess, startProcess } from '../processes.js';
import type { ServerCommand } from './server-kind.js';

/**
 * Sets up the mounts of `$1`, tells when they are there, and stays, as the servers come and go.
 * A tmpfs is the disk that can be full.
 */
const HOLD = `
set -e
. "$1"
echo mounted
exec sleep infinity
`;

/**
 * Runs a server as the child of a shell: as the first process of its namespace it would get the orphans of others,
 * which vsftpd takes for its own and dies of. Looks for the port in the kernel's list ($1, hexadecimal): to connect
 * would count as a client.
 */
const SERVE = `
port=$1
shift
"$@" &
while kill -0 $! && ! grep -q ":$port 00000000:0000 0A" /proc/net/tcp; do sleep 0.02; done
echo listening
wait $!
`;

/**
 * Starts a process that keeps the mounts, while servers come and go: those of the command, and a tmpfs at `root`
 * where the size of the disk is given. Its `stop` ends them.
 */
export async function holdMounts(
  folder: string,
  root: string,
  { mounts = {} }: ServerCommand,
  diskBytes: number | undefined,
): Promise<RunningProcess> {
  const file = join(folder, 'mounts.sh');
  const binds = Object.entries(mounts).map(([path, ours]) => `mount --bind '${ours}' '${path}'\n`);
  const disk = diskBytes === undefined ? '' : `mount -t tmpfs -o size=${diskBytes} tmpfs '${root}'\n`;
  await writeFile(file, binds.join('') + disk);
  return startProcess({
    command: 'unshare',
    args: ['--mount', 'sh', '-c', HOLD, 'hold', file],
    folder,
    ready: /^mounted$/m,
  });
}

/** Starts a server among the mounts of the holder; resolves when it listens at the port. */
export function startEnclosed(
  holder: RunningProcess,
  folder: string,
  port: number,
  command: ServerCommand,
): Promise<RunningProcess> {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  return startProcess({
    command: 'nsenter',
    args: [
      `--mount=/proc/${holder.pid}/ns/mnt`,
      ...['unshare', '--pid', '--fork', '--kill-child'],
      ...['sh', '-c', SERVE, 'serve', hexPort, ...command.line],
    ],
    folder,
    ...(command.env === undefined ? {} : { env: command.env }),
    ready: /^listening$/m,
  });
}

/** SIGKILL to the server and its sessions; resolves when all are gone. */
export async function killEnclosed(running: RunningProcess): Promise<void> {
  killFirstProcess(running.pid);
  await running.stop();
}

/**
 * Kills the first process of the namespace that `unshare` has made: the kernel kills all others with it, and
 * `unshare`, whose child it is, learns of its end when none of them is left.
 */
function killFirstProcess(unshare: number): void {
  try {
    const child = Number(readFileSync(`/proc/${unshare}/task/${unshare}/children`, 'utf8').trim());
    // None: the server has ended by itself. And 0 would be all of us.
    if (child > 0) process.kill(child, 'SIGKILL');
  } catch (error) {
    // ENOENT and ESRCH: it ended meanwhile.
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'ENOENT' && code !== 'ESRCH') throw error;
  }
}

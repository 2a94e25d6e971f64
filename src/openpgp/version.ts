/** Whether GnuPG is there, and new enough. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { GatewayError } from '../errors/gateway-error.js';
import { companionOf, type Gnupg } from './home.js';

const execute = promisify(execFile);

const TIMEOUT_MS = 20_000;
/** The first with an agent whose socket needs no help, and with the status lines that are asked for. */
const OLDEST = { major: 2, minor: 2 };

/** @throws OPENPGP_UNAVAILABLE */
export async function assertGnupgRuns(gnupg: Gnupg): Promise<void> {
  const said = await firstLineOf(gnupg.command);
  const [, major, minor] = /\(GnuPG\S*\) (\d+)\.(\d+)/.exec(said) ?? [];
  const isOld =
    Number(major) < OLDEST.major || (Number(major) === OLDEST.major && Number(minor) < OLDEST.minor);
  if (major === undefined || isOld) {
    const wanted = `${OLDEST.major}.${OLDEST.minor} or later`;
    throw new GatewayError('OPENPGP_UNAVAILABLE', `${gnupg.command} is not GnuPG ${wanted}, but: ${said}`);
  }
  await firstLineOf(companionOf(gnupg, 'gpg-agent'));
}

async function firstLineOf(command: string): Promise<string> {
  try {
    const { stdout } = await execute(command, ['--version'], { timeout: TIMEOUT_MS, maxBuffer: 64 * 1024 });
    return stdout.split('\n')[0] ?? '';
  } catch (cause) {
    throw new GatewayError('OPENPGP_UNAVAILABLE', `GnuPG cannot be run: ${command}`, { cause });
  }
}

/**
 * The GnuPG home of this bridge: its keyring, its private keys, its gpg.conf; and the workshop that each call of gpg gets
 * for itself. GnuPG starts an agent for each home, which stays, is found by a socket in it, and knows but one caller's
 * settings. Several processes of ours work at a time, and none may leave an agent behind or take another's away: so every
 * call has a home of its own, with links to the real one, and its agent goes with it. A socket's path may have some 100
 * bytes, and data folders lie deep: workshops lie in the folder for temporary files.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { GatewayError } from '../errors/gateway-error.js';

/** The programs, and what they work on. */
export interface Gnupg {
  /** gpg itself, a path or a name on PATH. */
  readonly command: string;
  readonly homeDir: string;
  /** File with the passphrase of our key; absent where it has none. */
  readonly passphraseFile?: string;
}

/** Written where there is no gpg.conf; from then on it is the operator's. */
const DEFAULT_CONF = `# GnuPG's settings for this bridge: algorithms and strengths are decided here. See gpg(1).

# Images are compressed already, or hardly can be; to try costs more time than to encrypt.
compress-algo none

# A signature over SHA-1 says nothing any more. For a partner whose software knows no better, take this line away.
weak-digest SHA1
`;

/** In a workshop a link to the real one. The keyring is not: gpg would put a new file in the place of the link. */
const LINKED = ['gpg.conf', 'gpg-agent.conf', 'private-keys-v1.d', 'openpgp-revocs.d'];

/** Makes the home where it is missing, mode 0700. May be called at any time. @throws OPENPGP_UNAVAILABLE */
export async function ensureGnupgHome({ homeDir }: Gnupg): Promise<void> {
  try {
    for (const folder of ['', 'private-keys-v1.d', 'openpgp-revocs.d']) {
      await mkdir(join(homeDir, folder), { recursive: true, mode: 0o700 });
    }
    await writeFile(join(homeDir, 'gpg.conf'), DEFAULT_CONF, { mode: 0o600, flag: 'wx' }).catch(
      ignoreExisting,
    );
  } catch (cause) {
    throw new GatewayError('OPENPGP_UNAVAILABLE', `the GnuPG home cannot be made: ${homeDir}`, { cause });
  }
}

export function keyringOf({ homeDir }: Gnupg): string {
  return join(resolve(homeDir), 'pubring.kbx');
}

/** The program of GnuPG that lies beside gpg. */
export function companionOf({ command }: Gnupg, name: 'gpg-agent' | 'gpgconf'): string {
  return command.includes('/') ? join(dirname(command), name) : name;
}

/** @returns its path; the caller ends it with `closeWorkshop` @throws OPENPGP_UNAVAILABLE when there is no such home */
export async function openWorkshop({ homeDir }: Gnupg): Promise<string> {
  const present = new Set(
    await readdir(homeDir).catch((cause: unknown) => {
      throw new GatewayError('OPENPGP_UNAVAILABLE', `there is no GnuPG home ${homeDir}`, { cause });
    }),
  );
  const workshop = await mkdtemp(join(tmpdir(), 'drawbridge-gpg-'));
  for (const name of LINKED) {
    if (present.has(name)) await symlink(join(resolve(homeDir), name), join(workshop, name));
  }
  return workshop;
}

/** Without its home, an agent ends by itself. May be called again. */
export async function closeWorkshop(gnupg: Gnupg, workshop: string): Promise<void> {
  if (!existsSync(workshop)) return;
  // Where a login session has a folder for sockets, GnuPG puts them there, in one that it names after the home.
  if (existsSync(`/run/user/${process.getuid?.()}`)) await removeSocketFolder(gnupg, workshop);
  await rm(workshop, { recursive: true, force: true });
}

function removeSocketFolder(gnupg: Gnupg, workshop: string): Promise<void> {
  const args = ['--homedir', workshop, '--remove-socketdir'];
  return new Promise((done) => {
    // A socket that stays is an empty file which nobody answers; no reason to fail a step that has done its work.
    execFile(companionOf(gnupg, 'gpgconf'), args, { timeout: 10_000 }, () => done());
  });
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
}

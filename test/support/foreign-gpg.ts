/**
 * A partner with nothing but GnuPG: a home of its own with one key, driven by the program itself, as a person would in a
 * terminal. None of our code is in it.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { runProcess } from './processes.js';
import { tool } from './tools.js';

export interface ForeignGpg {
  /** Of its primary key. */
  readonly fingerprint: string;
  /** Its GnuPG home; a short path, since its agent's sockets lie in it. */
  readonly home: string;
  /** Its public key, armoured. */
  readonly publicKeyFile: string;
  /** Runs gpg; resolves with what it wrote, whatever its exit code. */
  run(args: readonly string[], input?: Buffer): Promise<{ readonly output: Buffer; readonly words: string }>;
  /** Takes somebody's public key into its keyring. */
  learn(publicKeyFile: string): Promise<void>;
  /** Writes its public key anew, after it has changed. */
  publish(): Promise<void>;
  /** Stops its agent, and removes its home. */
  close(): Promise<void>;
}

const UNATTENDED = ['--batch', '--no-tty', '--pinentry-mode', 'loopback', '--trust-model', 'always'];

/** @param algorithm of the primary key; its subkey is for encryption */
export async function makeForeignGpg(name: string, algorithm = 'ed25519'): Promise<ForeignGpg> {
  const home = await mkdtemp(join(tmpdir(), 'fgpg-'));
  const publicKeyFile = join(home, 'public.asc');
  const run: ForeignGpg['run'] = async (args, input) => {
    const child = spawn(tool('gnupg', 'gpg'), ['--homedir', home, ...UNATTENDED, ...args]);
    child.stdin.on('error', () => undefined).end(input);
    const [output, words] = await Promise.all([buffer(child.stdout), text(child.stderr)]);
    return { output, words };
  };
  await run([
    '--passphrase',
    '',
    '--quick-generate-key',
    `${name} <${name}@example.org>`,
    algorithm,
    'cert,sign',
    'never',
  ]);
  const { output } = await run(['--with-colons', '--list-keys']);
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(output.toString())?.[1] ?? '';
  const cipher = algorithm.startsWith('rsa') ? algorithm : 'cv25519';
  await run(['--passphrase', '', '--quick-add-key', fingerprint, cipher, 'encr', 'never']);
  const publish = async () => {
    await writeFile(publicKeyFile, (await run(['--armor', '--export', fingerprint])).output);
  };
  await publish();
  return {
    fingerprint,
    home,
    publicKeyFile,
    run,
    publish,
    async learn(file) {
      await run(['--import'], await readFile(file));
    },
    async close() {
      await runProcess({
        command: tool('gnupg', 'gpgconf'),
        args: ['--homedir', home, '--kill', 'gpg-agent'],
      });
      await rm(home, { recursive: true, force: true });
    },
  };
}

/**
 * An envelope within an OpenPGP message, on a command line: `--gnupg-home` says whose keys open it, `--openpgp-signer`
 * whose signature counts. That signature is over every byte of the envelope, so the manifest needs none of its own.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { GatewayError } from '../errors/gateway-error.js';
import type { ArchiveLimits } from '../jmix/envelope-archive.js';
import { type Decryption, decryptMessage } from '../openpgp/decrypt.js';
import type { Gnupg } from '../openpgp/home.js';
import { signerOf } from '../openpgp/signer.js';
import { unpackMessage } from '../openpgp/unpack-message.js';

export interface OpenpgpOptions {
  readonly gnupgHome?: string;
  readonly gpg: string;
  readonly openpgpSigner?: readonly string[];
  readonly allowUnsigned?: boolean;
  readonly passphraseFile?: string;
  /** For those who only look: whose signature it bears does not matter. */
  readonly unverified?: true;
}

/** Who has signed an OpenPGP message: the fingerprint of the primary key; absent for another envelope. */
export interface Vouched {
  readonly openpgpSigner?: string;
}

export function addGnupgOptions(command: Command): Command {
  return command
    .option('--gnupg-home <dir>', 'GnuPG home with our OpenPGP key, and those of partners')
    .option('--gpg <program>', 'the GnuPG program', 'gpg');
}

export function addOpenpgpOptions(command: Command): Command {
  return addGnupgOptions(command).option(
    '--openpgp-signer <fingerprint...>',
    'for an OpenPGP message: the sender’s primary key; the manifest then needs no signature of its own',
  );
}

/** @throws REQUEST_INVALID without `--gnupg-home` */
export function gnupgFrom({ gnupgHome, gpg, passphraseFile }: OpenpgpOptions): Gnupg {
  if (gnupgHome === undefined) {
    throw new GatewayError('REQUEST_INVALID', 'OpenPGP needs a GnuPG home: expected --gnupg-home <dir>');
  }
  return {
    command: gpg,
    homeDir: gnupgHome,
    ...(passphraseFile === undefined ? {} : { passphraseFile }),
  };
}

/**
 * Unpacks a message into `scratch/envelope`.
 * @throws SIGNER_NOT_PINNED, PAYLOAD_DECRYPT_FAILED, ENVELOPE_MALFORMED when it holds no envelope, and what `decryptMessage`,
 *   `signerOf` and unpacking throw
 */
export async function unpackOpenpgp(
  path: string,
  scratch: string,
  limits: ArchiveLimits,
  options: OpenpgpOptions,
  signal?: AbortSignal,
): Promise<Vouched> {
  const folder = join(scratch, 'envelope');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const gnupg = gnupgFrom(options);
  const decrypt = <T>(request: Omit<Decryption<T>, 'gnupg'>) => decryptMessage({ ...request, gnupg });
  const signatures = await unpackMessage(
    { decrypt },
    path,
    folder,
    limits,
    signal === undefined ? {} : { signal },
  );
  if (options.unverified === true) return {};
  const openpgpSigner = signerOf(signatures, {
    pinned: (options.openpgpSigner ?? []).map(toFingerprint),
    allowUnsigned: options.allowUnsigned === true,
  });
  return openpgpSigner === undefined ? {} : { openpgpSigner };
}

/** As people write it, to upper hex. */
export function toFingerprint(text: string): string {
  return text.replaceAll(/[\s:]/g, '').toUpperCase();
}

/** `--openpgp-signer` vouches for a message alone. @throws REQUEST_INVALID where it is asked for another envelope */
export function assertNoOpenpgpSigner({ openpgpSigner }: Pick<OpenpgpOptions, 'openpgpSigner'>): void {
  if (openpgpSigner === undefined) return;
  throw new GatewayError(
    'REQUEST_INVALID',
    'the envelope is no OpenPGP message: --openpgp-signer says nothing of it',
  );
}

/** What the signatures within say, or that over all of it. */
export function withOpenpgp<T extends object>({ openpgpSigner }: Vouched, verdict: T): T {
  if (openpgpSigner === undefined) return verdict;
  return {
    ...verdict,
    signedBy: `OpenPGP ${openpgpSigner}`,
    isPinned: true,
    payloadCovered: true,
    manifestCovered: true,
  };
}

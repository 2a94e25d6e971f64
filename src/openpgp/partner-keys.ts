/**
 * Partners' public keys, brought from the files that the config names into our keyring. A file may hold no other key than
 * those whose fingerprints the config pins: a keyring that somebody else has filled is how wrong keys come in.
 */
import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { GatewayError } from '../errors/gateway-error.js';
import { parseKeyList } from './colons.js';
import type { Gnupg } from './home.js';
import { type GpgCall, runGpg } from './run.js';
import { argsOf } from './status.js';

/** What the config says of one partner. */
export interface PartnerKeys {
  readonly id: string;
  /** As `gpg --export` writes it, binary or armoured. */
  readonly keyFile: string;
  /** Of the primary keys, upper hex. */
  readonly fingerprints: readonly string[];
}

/**
 * May be called again: a newer version of a key (a new expiry, a revocation) is taken in.
 * @throws CONFIG_INVALID when the file is no public key, or has another than is pinned; OPENPGP_UNAVAILABLE
 */
export async function importPartnerKeys(gnupg: Gnupg, partner: PartnerKeys): Promise<void> {
  const { file, fingerprints } = await readPartnerKeys(gnupg, partner);
  const { status } = await gpgOn(gnupg, file, 'keyring', ['--import']);
  const imported = new Set(argsOf(status, 'IMPORT_OK').map(([, fingerprint]) => fingerprint));
  if (fingerprints.every((fingerprint) => imported.has(fingerprint))) return;
  throw invalid(partner, 'holds a key that GnuPG does not take');
}

/** A partner's file, and whose keys are in it; changes nothing. @throws as `importPartnerKeys` */
export async function readPartnerKeys(
  gnupg: Gnupg,
  partner: PartnerKeys,
): Promise<{ readonly file: Buffer; readonly fingerprints: readonly string[] }> {
  const file = await readFile(partner.keyFile).catch((cause: unknown) => {
    throw invalid(partner, 'cannot be read', cause);
  });
  const shown = await gpgOn(gnupg, file, 'nothing', ['--show-keys', '--with-colons']);
  const found = parseKeyList(shown.text);
  if (found.length === 0) throw invalid(partner, 'holds no OpenPGP public key');
  for (const { secret, fingerprint } of found) {
    if (secret)
      throw invalid(partner, 'holds a private key: ask the partner for the public one, and for a new one');
    if (!partner.fingerprints.includes(fingerprint)) {
      throw invalid(partner, `holds the key ${fingerprint}, which is not in openpgpFingerprints`);
    }
  }
  return { file, fingerprints: found.map(({ fingerprint }) => fingerprint) };
}

async function gpgOn(gnupg: Gnupg, file: Buffer, uses: GpgCall<Buffer>['uses'], args: readonly string[]) {
  const input = async function* () {
    yield file;
  };
  const { status, output } = await runGpg(gnupg, { args, uses, input: input(), consume: buffer });
  if (!output.ok) throw output.error;
  return { status, text: output.value.toString('utf8') };
}

function invalid({ id, keyFile }: PartnerKeys, why: string, cause?: unknown): GatewayError {
  return new GatewayError('CONFIG_INVALID', `peers: the openpgpKeyFile of ${id} ${why}: ${keyFile}`, {
    cause,
  });
}

/**
 * OpenPGP for the steps that seal and open: our home, our key and the partners' keys, made ready at the first use. Lives
 * as long as its process, and holds nothing open between two calls.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '../config/settings.js';
import { GatewayError } from '../errors/gateway-error.js';
import { type Decrypted, type Decryption, decryptMessage } from './decrypt.js';
import { type Encryption, encryptMessage } from './encrypt.js';
import { ensureGnupgHome, type Gnupg } from './home.js';
import { ownKey } from './own-key.js';
import { importPartnerKeys, type PartnerKeys, readPartnerKeys } from './partner-keys.js';
import { assertGnupgRuns } from './version.js';

export interface Openpgp {
  /** @throws what `encryptMessage` throws; CONFIG_INVALID for a partner's key file */
  encrypt(request: Omit<Encryption, 'gnupg' | 'signer'>): Promise<void>;
  /** @throws what `decryptMessage` throws; CONFIG_INVALID for a partner's key file */
  decrypt<T>(request: Omit<Decryption<T>, 'gnupg'>): Promise<Decrypted<T>>;
}

/** @param keysFolder where our own keys lie, if the config names no other home */
export function gnupgOf({ openpgp }: Pick<Settings, 'openpgp'>, keysFolder: string): Gnupg {
  return {
    command: openpgp.command,
    homeDir: openpgp.homeDir ?? join(keysFolder, 'gnupg'),
    ...(openpgp.passphraseFile === undefined ? {} : { passphraseFile: openpgp.passphraseFile }),
  };
}

/** Touches nothing before its first use. */
export function createOpenpgp(settings: Pick<Settings, 'openpgp' | 'peers'>, keysFolder: string): Openpgp {
  const gnupg = gnupgOf(settings, keysFolder);
  const partners = partnersOf(settings);
  /** The state of each key file as it was brought in. */
  const imported = new Map<string, string>();
  let started: Promise<void> | undefined;

  const start = async () => {
    await assertGnupgRuns(gnupg);
    await ensureGnupgHome(gnupg);
  };
  const prepare = async () => {
    started ??= start().catch((error: unknown) => {
      started = undefined;
      throw error;
    });
    await started;
    for (const partner of partners) {
      const state = await stateOf(partner.keyFile);
      if (imported.get(partner.keyFile) === state) continue;
      await importPartnerKeys(gnupg, partner);
      imported.set(partner.keyFile, state);
    }
  };

  return {
    async encrypt(request) {
      await prepare();
      const { fingerprint } = await ownKey(gnupg);
      await encryptMessage({ ...request, gnupg, signer: fingerprint });
    },
    async decrypt(request) {
      await prepare();
      return decryptMessage({ ...request, gnupg });
    },
  };
}

/**
 * What would keep studies from partners who need OpenPGP, found before any is sent. Does nothing where none needs it.
 * @throws OPENPGP_UNAVAILABLE when GnuPG or our key is missing; CONFIG_INVALID for a partner's key or way
 */
export async function checkOpenpgp(
  settings: Pick<Settings, 'openpgp' | 'peers' | 'exchanges'>,
  keysFolder: string,
): Promise<void> {
  const needing = settings.peers.filter(({ seal }) => seal === 'openpgp');
  if (needing.length === 0) return;
  for (const { id, via, openpgpFingerprints } of needing) {
    if (openpgpFingerprints.length === 0) {
      throw new GatewayError('CONFIG_INVALID', `peers: ${id} has seal: openpgp, and no openpgpFingerprints`);
    }
    const exchange = settings.exchanges.find(({ name }) => name === via);
    if (exchange?.type === 'hub') {
      const text = `peers: ${id} has seal: openpgp, but a hub must be able to read whom an envelope is for`;
      throw new GatewayError('CONFIG_INVALID', text);
    }
  }
  const gnupg = gnupgOf(settings, keysFolder);
  await assertGnupgRuns(gnupg);
  await ownKey(gnupg);
  for (const partner of partnersOf(settings)) await readPartnerKeys(gnupg, partner);
}

function partnersOf({ peers }: Pick<Settings, 'peers'>): readonly PartnerKeys[] {
  return peers.flatMap(({ id, openpgpKeyFile, openpgpFingerprints }) =>
    openpgpKeyFile === undefined ? [] : [{ id, keyFile: openpgpKeyFile, fingerprints: openpgpFingerprints }],
  );
}

/** A file that is missing is told by whoever reads it. */
async function stateOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  return found === undefined ? 'absent' : `${found.ino} ${found.size} ${found.mtimeMs}`;
}

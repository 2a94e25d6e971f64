/** `drawbridge keys openpgp`: our OpenPGP key, for partners who have nothing else. */
import { Command } from 'commander';
import { loadSettings } from '../config/load.js';
import type { ListedKey } from '../openpgp/colons.js';
import { ensureGnupgHome, type Gnupg } from '../openpgp/home.js';
import { gnupgOf } from '../openpgp/openpgp.js';
import { exportPublicKey, importOwnKey, makeOwnKey, ownKeys } from '../openpgp/own-key.js';
import { assertGnupgRuns } from '../openpgp/version.js';
import { createLayout } from '../spool/layout.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';

interface Options extends ConfigOption, JsonOption {
  readonly import?: string;
  readonly expires?: string;
  readonly new?: boolean;
  readonly export?: boolean;
}

export function openpgpKeysCommand(): Command {
  return new Command('openpgp')
    .description('show our OpenPGP key; the first time, make one')
    .addOption(configOption())
    .option(
      '--import <file>',
      'take a private key that was made elsewhere, as `gpg --export-secret-keys` writes it',
    )
    .option('--new', 'make another key; it signs from now on, and the old one still opens what comes')
    .option('--expires <when>', 'for a new key: 2y, or 2030-12-31; without it the key never expires')
    .option('--export', 'print the public key for partners')
    .option('--json', 'one JSON object on standard output')
    .action(async (options: Options) => {
      const settings = loadSettings(configPath(options), process.env);
      const gnupg = gnupgOf(settings, createLayout(settings.dataDir).keys);
      await assertGnupgRuns(gnupg);
      await ensureGnupgHome(gnupg);
      if (options.import !== undefined) await importOwnKey(gnupg, options.import);
      else if (options.new === true || (await present(gnupg)) === undefined) {
        await makeOwnKey(gnupg, {
          ...settings.site,
          ...(options.expires === undefined ? {} : { expires: options.expires }),
        });
      }
      const key = await present(gnupg);
      const publicKey = key === undefined ? '' : await exportPublicKey(gnupg, key.fingerprint);
      printResult(
        options,
        { fingerprint: key?.fingerprint ?? null, user_id: key?.userId ?? null, public_key: publicKey },
        options.export === true ? publicKey.trimEnd() : describe(key, gnupg),
      );
    });
}

/** The one that signs. */
async function present(gnupg: Gnupg): Promise<ListedKey | undefined> {
  return (await ownKeys(gnupg)).find(({ usable, canSign }) => usable && canSign);
}

function describe(key: ListedKey | undefined, { homeDir }: Gnupg): string {
  if (key === undefined) return `no key in ${homeDir} may sign`;
  return [
    `${key.fingerprint}  ${key.userId}`,
    `It lies in ${homeDir}. Give partners the public key (--export), and this fingerprint by another way.`,
  ].join('\n');
}

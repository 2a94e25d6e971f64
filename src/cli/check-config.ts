/** `drawbridge check-config`: reads and checks the config as a start would, and changes nothing. */
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { checkDicomTls } from '../compose/dicom-tls.js';
import { invalidConfig } from '../config/check.js';
import { loadSettings } from '../config/load.js';
import type { Settings } from '../config/settings.js';
import { systemClock } from '../domain/clock.js';
import { silentLog } from '../observe/log.js';
import { checkOpenpgp } from '../openpgp/openpgp.js';
import { createFileDurably } from '../spool/atomic.js';
import { createLayout } from '../spool/layout.js';
import { checkSecrets, readExchanges } from '../trust/exchanges.js';
import { openPeerBook } from '../trust/peer-book.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';

export function checkConfigCommand(): Command {
  return new Command('check-config')
    .description('check the config; all problems are told at once')
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (options: ConfigOption & JsonOption) => {
      const path = configPath(options);
      const settings = loadSettings(path, process.env);
      const layout = createLayout(settings.dataDir);
      if (settings.role === 'site') {
        await checkOpenpgp(settings, layout.keys);
        await checkDicomTls(settings, layout.keys);
        await checkPasswords(settings);
        await openPeerBook(settings, layout.trust, {
          createFile: createFileDurably,
          clock: systemClock,
          log: silentLog,
        });
      }
      for (const exchange of (await readExchanges(settings)).values()) await checkSecrets(exchange);
      const counts = `${settings.peers.length} peers, ${settings.pacs.length} PACS, ${settings.routes.length} routes`;
      printResult(options, { config: path }, `${path} is valid: ${counts}`);
    });
}

/** Files that are read for each association: a start would not miss them. */
async function checkPasswords({ dimse, pacs }: Settings): Promise<void> {
  const problems: string[] = [];
  const check = async (at: string, path: string | undefined) => {
    if (path === undefined) return;
    const password = await readFile(path, 'utf8').catch(() => undefined);
    if (password === undefined) problems.push(`${at}.passwordFile: ${path} cannot be read`);
    else if (password.trim() === '') problems.push(`${at}.passwordFile: ${path} is empty`);
  };
  for (const [at, { passwordFile }] of dimse.users.entries()) await check(`dimse.users.${at}`, passwordFile);
  for (const [at, { passwordFile }] of pacs.entries()) await check(`pacs.${at}`, passwordFile);
  if (problems.length > 0) throw invalidConfig(problems);
}

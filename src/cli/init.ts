/** `drawbridge init`: config, keys and password, without starting; and what to give to a partner. */
import { hostname } from 'node:os';
import { Command } from 'commander';
import { ensureSite } from '../compose/first-run.js';
import { formatPeerEntry } from '../config/template.js';
import { createLayout } from '../spool/layout.js';
import { ownCard } from '../trust/peer-card.js';
import { readSiteKeys } from '../trust/site-keys.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';

interface InitOptions extends ConfigOption, JsonOption {
  readonly id?: string;
  readonly name?: string;
  readonly contact?: string;
  readonly host: string;
}

export function initCommand(): Command {
  return new Command('init')
    .description('write a commented config and the keys of this site, and show what partners need of it')
    .addOption(configOption())
    .option('--id <id>', 'organisation id, for a new config')
    .option('--name <name>', 'organisation name, for a new config')
    .option('--contact <contact>', 'mail address or telephone number, for a new config')
    .option('--host <host>', 'host name under which partners reach this bridge', hostname())
    .option('--json', 'one JSON object on standard output')
    .action(async (options: InitOptions) => {
      const { id, name, contact } = options;
      const first = await ensureSite(configPath(options), process.env, {
        ...(id === undefined ? {} : { id }),
        ...(name === undefined ? {} : { name }),
        ...(contact === undefined ? {} : { contact }),
      });
      const keys = await readSiteKeys(createLayout(first.settings.dataDir).keys, first.settings);
      const card = ownCard(first.settings, keys, options.host);
      const lines = [
        first.made.length === 0 ? 'everything is there already' : `wrote ${first.made.join('\n      ')}`,
        ...(first.password === undefined
          ? []
          : ['', `dashboard password, shown this once: ${first.password}`]),
        '',
        'for the peers section of a partner’s config (compare the keys by telephone):',
        formatPeerEntry(card),
      ];
      printResult(
        options,
        { made: first.made, password: first.password, partner_card: card },
        lines.join('\n'),
      );
    });
}

/**
 * `drawbridge dismiss`: what a PACS refused of a reception has been dealt with elsewhere, and needs nobody's attention any
 * more. What is to be sent again is for `drawbridge retry`.
 */
import { Command } from 'commander';
import { parseEnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { openBridgeApi } from './bridge-api.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';

export function dismissCommand(): Command {
  return new Command('dismiss')
    .description('say that what a PACS refused of a reception has been dealt with')
    .argument('<id>', 'envelope id, as status shows it')
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (text: string, options: ConfigOption & JsonOption) => {
      const id = parseEnvelopeId(text);
      const api = await openBridgeApi(configPath(options));
      if (api.role === 'hub') throw new GatewayError('REQUEST_INVALID', 'a hub has no PACS');
      await api.post(`/api/receptions/${id}/dismiss`);
      printResult(options, { id }, `${id} needs no attention any more`);
    });
}

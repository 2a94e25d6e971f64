/** `drawbridge retry`: lets a parked, refused or quarantined delivery or reception go on; on a hub, a parked parcel. */
import { Command } from 'commander';
import { parseEnvelopeId } from '../domain/envelope-id.js';
import { isGatewayError } from '../errors/gateway-error.js';
import { openBridgeApi } from './bridge-api.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';

export function retryCommand(): Command {
  return new Command('retry')
    .description('try a parked, refused or quarantined delivery or reception again')
    .argument('<id>', 'envelope id, as status shows it')
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (text: string, options: ConfigOption & JsonOption) => {
      const id = parseEnvelopeId(text);
      const api = await openBridgeApi(configPath(options));
      if (api.role === 'hub') {
        await api.post(`/api/parcels/${id}/retry`);
        printResult(options, { id }, `${id} waits for its receivers again`);
        return;
      }
      const answer = (await api.post(`/api/deliveries/${id}/retry`).catch((error: unknown) => {
        // Not a delivery of ours: then it is one that came.
        if (isGatewayError(error) && error.code === 'ENVELOPE_NOT_FOUND')
          return api.post(`/api/receptions/${id}/retry`);
        throw error;
      })) as { id: string };
      printResult(options, { id: answer.id }, `${answer.id} goes on`);
    });
}

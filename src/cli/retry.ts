/**
 * `drawbridge retry`: lets a parked, refused or quarantined delivery or reception go on; on a hub, a parked parcel. With
 * `--peer`, every delivery to that peer that is parked: when a login or certificate has been mended, they all go.
 */
import { Command } from 'commander';
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import type { DeliveryView } from '../http/ports.js';
import { type BridgeApi, openBridgeApi } from './bridge-api.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { type JsonOption, printResult } from './output.js';

interface RetryOptions extends ConfigOption, JsonOption {
  readonly peer?: string;
}

/** As many as one list shows; those behind them come with the next round. */
const AT_ONCE = 1_000;

export function retryCommand(): Command {
  return new Command('retry')
    .description('try a parked, refused or quarantined delivery or reception again')
    .argument('[id]', 'envelope id, as status shows it')
    .option('--peer <id>', 'all parked deliveries to this peer')
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (text: string | undefined, options: RetryOptions) => {
      if ((text === undefined) === (options.peer === undefined))
        throw new GatewayError('REQUEST_INVALID', 'expected an envelope id, or --peer');
      const api = await openBridgeApi(configPath(options));
      if (text === undefined) {
        const ids = await retryParked(api, options.peer ?? '');
        const count = ids.length === 1 ? '1 delivery goes on' : `${ids.length} deliveries go on`;
        printResult(options, { ids }, ids.length === 0 ? `nothing is parked for ${options.peer}` : count);
        return;
      }
      const id = parseEnvelopeId(text);
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

async function retryParked(api: BridgeApi, peerId: string): Promise<readonly EnvelopeId[]> {
  if (api.role === 'hub')
    throw new GatewayError('REQUEST_INVALID', 'a hub has no deliveries; give the id of a parcel');
  const retried = new Set<EnvelopeId>();
  for (;;) {
    const parked = (await api.get(`/api/deliveries?state=parked&limit=${AT_ONCE}`)) as DeliveryView[];
    // One that is parked again at once must not keep us here for ever.
    const due = parked.filter((delivery) => delivery.peerId === peerId && !retried.has(delivery.id));
    if (due.length === 0) return [...retried];
    for (const { id } of due) {
      await api.post(`/api/deliveries/${id}/retry`);
      retried.add(id);
    }
  }
}

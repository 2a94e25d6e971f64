/**
 * `drawbridge retry`: lets a parked, refused or quarantined delivery or reception go on; on a hub, a parked parcel. With
 * `--peer`, every delivery to that peer that is parked, or was refused for a key that has been changed since: when a
 * login, a certificate or a pairing has been mended, they all go.
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
/** What a rotation, or a stolen key, makes of what was on its way. */
const MENDED_BY_KEYS: readonly string[] = ['SIGNER_NOT_PINNED', 'KEY_REVOKED', 'PAYLOAD_DECRYPT_FAILED'];

export function retryCommand(): Command {
  return new Command('retry')
    .description('try a parked, refused or quarantined delivery or reception again')
    .argument('[id]', 'envelope id, as status shows it')
    .option('--peer <id>', 'all deliveries to this peer that are parked, or were refused because of a key')
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (text: string | undefined, options: RetryOptions) => {
      if ((text === undefined) === (options.peer === undefined))
        throw new GatewayError('REQUEST_INVALID', 'expected an envelope id, or --peer');
      const api = await openBridgeApi(configPath(options));
      if (text === undefined) {
        await retryPeer(api, options);
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

async function retryPeer(api: BridgeApi, options: RetryOptions): Promise<void> {
  if (api.role === 'hub')
    throw new GatewayError('REQUEST_INVALID', 'a hub has no deliveries; give the id of a parcel');
  const { peer = '' } = options;
  const parked = await retryAll(api, 'parked', (delivery) => delivery.peerId === peer);
  const refused = await retryAll(
    api,
    'refused',
    (delivery) => delivery.peerId === peer && isForKey(delivery),
  );
  const parts = [
    parked.length === 0 ? '' : `${deliveries(parked.length)} that ${was(parked.length)} parked`,
    refused.length === 0
      ? ''
      : `${deliveries(refused.length)} that ${was(refused.length)} refused because of a key, under new ids`,
  ].filter((text) => text !== '');
  printResult(
    options,
    { ids: [...parked, ...refused], parked, refused },
    parts.length === 0 ? `nothing is parked or refused for ${peer}` : `${parts.join('; ')}: on the way again`,
  );
}

function isForKey({ refusal, replacedBy }: DeliveryView): boolean {
  return replacedBy === undefined && refusal !== undefined && MENDED_BY_KEYS.includes(refusal.code);
}

/** @returns the ids that they go on under */
async function retryAll(
  api: BridgeApi,
  state: 'parked' | 'refused',
  isMeant: (delivery: DeliveryView) => boolean,
): Promise<readonly EnvelopeId[]> {
  const retried = new Map<EnvelopeId, EnvelopeId>();
  for (;;) {
    const found = (await api.get(`/api/deliveries?state=${state}&limit=${AT_ONCE}`)) as DeliveryView[];
    // One that is parked again at once must not keep us here for ever.
    const due = found.filter((delivery) => isMeant(delivery) && !retried.has(delivery.id));
    if (due.length === 0) return [...retried.values()];
    for (const { id } of due) {
      const answer = (await api.post(`/api/deliveries/${id}/retry`)) as { id: EnvelopeId };
      retried.set(id, answer.id);
    }
  }
}

function deliveries(count: number): string {
  return count === 1 ? '1 delivery' : `${count} deliveries`;
}

function was(count: number): string {
  return count === 1 ? 'was' : 'were';
}

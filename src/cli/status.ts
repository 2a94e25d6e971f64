/** `drawbridge status`: how the bridge of this machine is, and what waits for an operator. */
import { Command } from 'commander';
import type {
  DeliveryView,
  ExchangeView,
  HubOverview,
  HubParcelView,
  Overview,
  ReceptionView,
  StudyView,
} from '../http/ports.js';
import { openBridgeApi } from './bridge-api.js';
import { describeCommitment } from './commitment-status.js';
import { type ConfigOption, configOption, configPath } from './config-option.js';
import { printHubStatus } from './hub-status.js';
import { formatBytes, type JsonOption, printResult } from './output.js';

const LISTED = 1_000;
const STUCK: readonly string[] = ['parked', 'refused', 'quarantined'];
/** Of those that will be tried again; a peer that is down may have thousands. */
const TRIED_SHOWN = 10;

export function statusCommand(): Command {
  return new Command('status')
    .description('show studies, deliveries and receptions of the running bridge; of a hub, its inboxes')
    .addOption(configOption())
    .option('--json', 'one JSON object on standard output')
    .action(async (options: ConfigOption & JsonOption) => {
      const api = await openBridgeApi(configPath(options));
      if (api.role === 'hub') {
        printHubStatus(options, {
          overview: (await api.get('/api/hub/overview')) as HubOverview,
          parked: (await api.get(`/api/parcels?state=parked&limit=${LISTED}`)) as HubParcelView[],
        });
        return;
      }
      const overview = (await api.get('/api/overview')) as Overview;
      const studies = (await api.get('/api/studies')) as StudyView[];
      const deliveries = (await api.get(`/api/deliveries?limit=${LISTED}`)) as DeliveryView[];
      const receptions = (await api.get(`/api/receptions?limit=${LISTED}`)) as ReceptionView[];
      printResult(
        options,
        { overview, studies, deliveries, receptions },
        describe(overview, studies, deliveries, receptions),
      );
    });
}

function describe(
  overview: Overview,
  studies: readonly StudyView[],
  deliveries: readonly DeliveryView[],
  receptions: readonly ReceptionView[],
): string {
  const counts = (values: Readonly<Record<string, number>>) =>
    Object.entries(values)
      .filter(([, count]) => count > 0)
      .map(([state, count]) => `${count} ${state}`)
      .join(', ') || 'none';
  const lines = [
    `${overview.site.name} (${overview.site.id}), Redis ${overview.redis.kind} ${overview.redis.up ? 'up' : 'away'}, ${formatBytes(overview.disk.freeBytes)} free`,
    `studies     ${studies.length === 0 ? 'none' : `${studies.length} waiting`}`,
    `deliveries  ${counts(overview.counts.deliveries)}${tests(deliveries)}`,
    `receptions  ${counts(overview.counts.receptions)}${tests(receptions)}`,
    ...overview.exchanges.map(describeExchange),
    ...describeCommitment(overview.commitment, receptions),
  ];
  const stuck = [...deliveries, ...receptions].filter(({ state }) => STUCK.includes(state));
  for (const record of stuck) {
    const reason =
      quarantineOf(record)?.message ??
      ('refusal' in record ? record.refusal : undefined)?.message ??
      record.parked?.message ??
      pacsRefusalOf(record);
    lines.push(
      `${record.id}  ${contentOf(record)}${record.state}: ${reason}${record.advice === '' ? '' : ` → ${record.advice}`}`,
    );
  }
  const tried = deliveries.filter(
    ({ state, lastError }) => lastError !== undefined && !STUCK.includes(state),
  );
  for (const record of tried.slice(0, TRIED_SHOWN)) {
    const { id, lastError, advice } = record;
    lines.push(
      `${id}  ${contentOf(record)}tried again: ${lastError?.message ?? ''}${advice === '' ? '' : ` → ${advice}`}`,
    );
  }
  return lines.join('\n');
}

/** They are no studies, so the counts leave them out. */
function tests(records: readonly (DeliveryView | ReceptionView)[]): string {
  const count = records.filter(
    ({ purpose, state }) => purpose !== undefined && !STUCK.includes(state),
  ).length;
  return count === 0 ? '' : `; and ${count} pairing test${count === 1 ? '' : 's'}`;
}

function contentOf({ purpose }: DeliveryView | ReceptionView): string {
  return purpose === undefined ? '' : 'pairing test, ';
}

function describeExchange({ name, error, waitingCount, troubles }: ExchangeView): string {
  const waiting = waitingCount === 0 ? 'empty' : `${waitingCount} waiting`;
  const state = error === undefined ? waiting : `${error.message} → ${error.advice}`;
  return `exchange    ${name}: ${state}${troubles.length === 0 ? '' : `, ${troubles.length} cannot be fetched`}`;
}

function quarantineOf(record: DeliveryView | ReceptionView): { message: string } | undefined {
  return 'quarantined' in record ? record.quarantined : undefined;
}

/** By which PACS it was refused, and why; empty where none did. */
export function pacsRefusalOf(record: DeliveryView | ReceptionView): string {
  if (!('pacs' in record)) return '';
  const refused = Object.entries(record.pacs).filter(([, { state }]) => state === 'refused');
  return refused
    .map(([name, { lastError, refusedCount }]) => {
      const count = `${refusedCount} of ${record.instanceCount ?? 0} instances were refused`;
      return `PACS ${name}: ${lastError?.message ?? count}`;
    })
    .join('; ');
}

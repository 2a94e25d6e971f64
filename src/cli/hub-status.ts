/** `drawbridge status` on a hub: how full each inbox is, and what waits for an operator. */
import type { HubMemberView, HubOverview, HubParcelView } from '../http/ports.js';
import { formatBytes, type JsonOption, printResult } from './output.js';

export interface HubStatus {
  readonly overview: HubOverview;
  readonly parked: readonly HubParcelView[];
}

export function printHubStatus(options: JsonOption, { overview, parked }: HubStatus): void {
  const lines = [
    `${overview.site.name} (${overview.site.id}), hub, ${formatBytes(overview.disk.freeBytes)} free`,
    ...overview.members.map(describeMember),
    ...parked.map(describeParked),
  ];
  printResult(options, { overview, parked }, lines.join('\n'));
}

function describeMember({ id, waitingCount, heldBytes, quotaBytes, parkedCount }: HubMemberView): string {
  const parked = parkedCount === 0 ? '' : `, ${parkedCount} parked`;
  const quota = quotaBytes === undefined ? '' : ` of ${formatBytes(quotaBytes)}`;
  return `inbox       ${id}: ${waitingCount} waiting${parked}, ${formatBytes(heldBytes)}${quota}`;
}

function describeParked({ id, senderId, parked }: HubParcelView): string {
  const { message = '', advice = '' } = parked ?? {};
  return `${id}  from ${senderId}: ${message}${advice === '' ? '' : ` → ${advice}`}`;
}

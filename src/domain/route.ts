/** Which studies go to which peers. All routes that fit apply; a study that none fits is held and shown. */
import { comparePriority, type Priority } from './priority.js';

export interface Route {
  readonly to: readonly string[];
  readonly priority: Priority;
  /** Each list that is present must hold one of the study's values; an absent list fits everything. */
  readonly match: {
    readonly callingAe?: readonly string[];
    readonly calledAe?: readonly string[];
    readonly modality?: readonly string[];
  };
}

export interface RoutedInstance {
  readonly callingAe: string;
  readonly calledAe: string;
  readonly modality: string;
}

/** Where a study goes, and how urgently. */
export interface Destination {
  readonly peerId: string;
  readonly priority: Priority;
}

/**
 * The peers that these instances go to, each once, in order of the routes; of several routes to one peer the most
 * urgent counts. A route fits when one single instance satisfies all of its lists.
 */
export function routePeers(
  routes: readonly Route[],
  instances: Iterable<RoutedInstance>,
): readonly Destination[] {
  const all = [...instances];
  const found = new Map<string, Priority>();
  for (const route of routes) {
    if (!all.some((instance) => fits(route, instance))) continue;
    for (const peerId of route.to) {
      const before = found.get(peerId) ?? route.priority;
      found.set(peerId, comparePriority(route.priority, before) < 0 ? route.priority : before);
    }
  }
  return [...found].map(([peerId, priority]) => ({ peerId, priority }));
}

function fits({ match }: Route, instance: RoutedInstance): boolean {
  const has = (list: readonly string[] | undefined, value: string) =>
    list === undefined || list.includes(value);
  return (
    has(match.callingAe, instance.callingAe) &&
    has(match.calledAe, instance.calledAe) &&
    has(match.modality, instance.modality)
  );
}

/** Which studies go to which peers. All routes that fit apply; a study that none fits is held and shown. */
import { type Classification, type Extensions, mergeClassifications, mergeExtensions } from './extensions.js';
import { comparePriority, type Priority } from './priority.js';

export interface Route {
  readonly to: readonly string[];
  readonly priority: Priority;
  /** One envelope for all its peers; else one for each. */
  readonly together: boolean;
  readonly classification: Classification;
  readonly extensions: Extensions;
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

/** Where a study goes, how urgently, and what is said of it there. */
export interface Destination {
  readonly peerId: string;
  readonly priority: Priority;
  /** Destinations with the same number may share an envelope; one without a number shares with nobody. */
  readonly together?: number;
  readonly classification: Classification;
  readonly extensions: Extensions;
}

/**
 * The peers that these instances go to, each once, in order of the routes. A route fits when one single instance satisfies
 * all of its lists. Of several routes to one peer the most urgent priority counts, the most guarded classification, and
 * what `mergeExtensions` makes of all; the peer shares with those of the first of them, unless one of them says `false`.
 */
export function routePeers(
  routes: readonly Route[],
  instances: Iterable<RoutedInstance>,
): readonly Destination[] {
  const all = [...instances];
  const fitting = routes.filter((route) => all.some((instance) => fits(route, instance)));
  const peerIds = new Set(fitting.flatMap((route) => route.to));
  return [...peerIds].map((peerId) => {
    const its = fitting.filter((route) => route.to.includes(peerId));
    const together = its.every((route) => route.together)
      ? fitting.findIndex((route) => route.to.includes(peerId))
      : undefined;
    return {
      peerId,
      priority: its.map(({ priority }) => priority).sort(comparePriority)[0] ?? 'routine',
      ...(together === undefined ? {} : { together }),
      classification: mergeClassifications(its.map(({ classification }) => classification)),
      extensions: mergeExtensions(its.map(({ extensions }) => extensions)),
    };
  });
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

/** Which studies go to which peers. All routes that fit apply; a study that none fits is held and shown. */

export interface Route {
  readonly to: readonly string[];
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

/**
 * The peers that these instances go to, each once, in order of the routes. A route fits when one single instance
 * satisfies all of its lists.
 */
export function routePeers(routes: readonly Route[], instances: Iterable<RoutedInstance>): readonly string[] {
  const all = [...instances];
  const fitting = routes.filter((route) => all.some((instance) => fits(route, instance)));
  return [...new Set(fitting.flatMap((route) => route.to))];
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

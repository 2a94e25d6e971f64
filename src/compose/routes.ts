/** The routes as the config has them. */
import type { Settings } from '../config/settings.js';
import type { Route } from '../domain/route.js';

export function routesOf({ routes }: Settings): readonly Route[] {
  return routes.map(({ match, ...route }) => {
    const { callingAe, calledAe, modality } = match;
    return {
      to: route.to,
      priority: route.priority,
      together: route.together,
      classification: route.classification,
      extensions: route.extensions,
      match: {
        ...(callingAe === undefined ? {} : { callingAe }),
        ...(calledAe === undefined ? {} : { calledAe }),
        ...(modality === undefined ? {} : { modality }),
      },
    };
  });
}

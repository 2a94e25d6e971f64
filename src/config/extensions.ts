/** What a person says of one study in JSON: the same members, with the same rules, as `extensions` of a route. */

import type { Extensions } from '../domain/extensions.js';
import { GatewayError } from '../errors/gateway-error.js';
import { settingsSchema } from './settings.js';

const schema = settingsSchema.shape.routes.unwrap().element.shape.extensions.unwrap();

/** @throws REQUEST_INVALID with every problem */
export function parseExtensions(value: unknown): Extensions {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  );
  throw new GatewayError('REQUEST_INVALID', `these are no extensions: ${problems.join('; ')}`);
}

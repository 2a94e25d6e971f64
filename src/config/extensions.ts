/**
 * What a person says of one study in JSON: the same members, with the same rules, as `extensions` of a route. Those of the
 * JMIX schema itself are taken as well.
 */

import type { Extensions } from '../domain/extensions.js';
import { GatewayError } from '../errors/gateway-error.js';
import { settingsSchema } from './settings.js';

const schema = settingsSchema.shape.routes.unwrap().element.shape.extensions.unwrap();

/** @throws REQUEST_INVALID with every problem */
export function parseExtensions(value: unknown): Extensions {
  const parsed = schema.safeParse(withOurNames(value));
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  );
  throw new GatewayError('REQUEST_INVALID', `these are no extensions: ${problems.join('; ')}`);
}

/** Each member of the schema that is called otherwise here. */
const OUR_NAMES: Readonly<Record<string, string>> = { custom_tags: 'customTags', signed_on: 'signedOn' };

function withOurNames(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [OUR_NAMES[name] ?? name, withOurNames(member)]),
  );
}

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

/** The members of the JMIX schema that are called otherwise in our config. */
function withOurNames(value: unknown): unknown {
  const extensions = renamed(value, 'custom_tags', 'customTags');
  if (!isRecord(extensions) || !Object.hasOwn(extensions, 'consent')) return extensions;
  return { ...extensions, consent: renamed(extensions['consent'], 'signed_on', 'signedOn') };
}

/** One that stands there under both names stays as it is, and is refused as a member that nobody knows. */
function renamed(value: unknown, from: string, to: string): unknown {
  if (!isRecord(value) || !Object.hasOwn(value, from) || Object.hasOwn(value, to)) return value;
  const { [from]: member, ...others } = value;
  return { ...others, [to]: member };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

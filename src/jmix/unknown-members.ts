/**
 * Members of a document that its published schema does not know. What comes in may have them, of a later version or of
 * another's invention: they are kept as they came, mean nothing to us, and are named, so that nobody believes they were
 * understood. Of what was sealed, only their places and number: a name may hold a patient as well as a value. Only where
 * the schema forbids further members; what stands under `extensions` is meant to be there.
 */
import { isJsonObject, type JsonObject, type JsonValue } from './strict-json.js';

/** More are not named: a document may be full of them. */
const MAX_NAMED = 50;
const MAX_NAME_LENGTH = 64;

/**
 * Their paths, each once: `sender.nickname`, and `receiver[].nickname` of any item in a list. Names of the writer's
 * choice, each cut to 64 characters, and never their values.
 * @param schema a published one, which `document` conforms to but for them
 */
export function unknownMembers(schema: JsonObject, document: JsonValue): readonly string[] {
  const found = new Set<string>();
  forEachUnknown(schema, document, (prefix, member) => {
    if (found.size < MAX_NAMED) found.add(`${prefix}${member.slice(0, MAX_NAME_LENGTH)}`);
  });
  return [...found];
}

/** Where they stand and how many, without their names: `patient.* (2)`, and `[].* (1)` of all items of a list. */
export function unknownPlaces(schema: JsonObject, document: JsonValue): readonly string[] {
  const counts = new Map<string, number>();
  forEachUnknown(schema, document, (prefix) => counts.set(prefix, (counts.get(prefix) ?? 0) + 1));
  return [...counts].map(([prefix, count]) => `${prefix}* (${count})`);
}

/** @param note gets the path in front of the member, in words of the schema alone */
function forEachUnknown(
  schema: JsonObject,
  document: JsonValue,
  note: (prefix: string, member: string) => void,
): void {
  const walk = (rule: JsonObject, value: JsonValue, path: string): void => {
    if (Array.isArray(value)) {
      const { items } = rule;
      if (isJsonObject(items)) for (const item of value) walk(resolved(items, schema), item, `${path}[]`);
      return;
    }
    if (!isJsonObject(value)) return;
    const known = isJsonObject(rule['properties']) ? rule['properties'] : {};
    const prefix = path === '' ? '' : `${path}.`;
    for (const [member, inner] of Object.entries(value)) {
      const innerRule = Object.hasOwn(known, member) ? known[member] : undefined;
      if (isJsonObject(innerRule)) walk(resolved(innerRule, schema), inner, `${prefix}${member}`);
      else if (rule['additionalProperties'] === false) note(prefix, member);
    }
  };
  walk(schema, document, '');
}

/** What a reference stands for; of alternatives, the one that is an object: the others have no members. */
function resolved(rule: JsonObject, schema: JsonObject): JsonObject {
  const { $ref: reference, oneOf: alternatives } = rule;
  if (typeof reference === 'string') {
    const name = reference.replace('#/$defs/', '');
    const definitions = schema['$defs'];
    const definition = isJsonObject(definitions) ? definitions[name] : undefined;
    return isJsonObject(definition) ? resolved(definition, schema) : {};
  }
  if (!Array.isArray(alternatives)) return rule;
  const objects = alternatives.filter(isJsonObject).map((alternative) => resolved(alternative, schema));
  return objects.find((alternative) => isJsonObject(alternative['properties'])) ?? {};
}

/**
 * Members of a document that its published schema does not know. What comes in may have them, of a later version or of
 * another's invention: they are kept as they came, mean nothing to us, and are named, so that nobody believes they were
 * understood. Only where the schema forbids further members; what stands under `extensions` is meant to be there.
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
      else if (rule['additionalProperties'] === false && found.size < MAX_NAMED) {
        found.add(`${prefix}${member.slice(0, MAX_NAME_LENGTH)}`);
      }
    }
  };
  walk(schema, document, '');
  return [...found];
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

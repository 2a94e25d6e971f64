/**
 * The published JMIX schemas (draft 2020-12), loaded and compiled once at import: without a schema nothing starts,
 * rather than everything passing unchecked. The files are unmodified (see schemas/LICENCE.md). What we write conforms to
 * the letter; what we read may have members that the schema does not know, and conforms otherwise.
 */
import { readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { ErrorCode } from '../errors/codes.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { JsonObject, JsonValue } from './strict-json.js';
import { unknownMembers, unknownPlaces } from './unknown-members.js';

export type SchemaName = 'manifest' | 'metadata' | 'files' | 'audit';

interface PublishedSchema {
  readonly schema: JsonObject;
  /** To the letter. */
  readonly validate: ValidateFunction;
  /** But for unknown members. */
  readonly validateKnown: ValidateFunction;
}

const SCHEMAS: Readonly<Record<SchemaName, PublishedSchema>> = {
  manifest: load('manifest'),
  metadata: load('metadata'),
  files: load('files'),
  audit: load('audit'),
};

/** What is wrong with `value`, as place and rule, without its values; undefined when it conforms to the letter. */
export function checkSchema(name: SchemaName, value: unknown): string | undefined {
  return problemWith(SCHEMAS[name].validate, value);
}

/** For what we write. @throws `code` when `value` does not conform to the published schema */
export function assertSchema(name: SchemaName, value: unknown, code: ErrorCode): void {
  const problem = checkSchema(name, value);
  if (problem !== undefined) throw nonconforming(name, problem, code);
}

/**
 * For what we read.
 * @returns the members that the published schema does not know: of the manifest as `unknownMembers` names them, of
 *   documents that may have been sealed as `unknownPlaces` does
 * @throws `code` when `value` does not conform otherwise
 */
export function readBySchema(name: SchemaName, value: JsonValue, code: ErrorCode): readonly string[] {
  const { schema, validateKnown } = SCHEMAS[name];
  const problem = problemWith(validateKnown, value);
  if (problem !== undefined) throw nonconforming(name, problem, code);
  return name === 'manifest' ? unknownMembers(schema, value) : unknownPlaces(schema, value);
}

function problemWith(validate: ValidateFunction, value: unknown): string | undefined {
  if (validate(value)) return undefined;
  const first = validate.errors?.[0];
  return first === undefined
    ? 'does not conform'
    : `${first.instancePath || '/'} ${first.message ?? first.keyword}`;
}

function nonconforming(name: SchemaName, problem: string, code: ErrorCode): GatewayError {
  return new GatewayError(code, `${name}.json does not conform to its JMIX schema: ${problem}`);
}

function load(name: SchemaName): PublishedSchema {
  const text = readFileSync(new URL(`./schemas/${name}.schema.json`, import.meta.url), 'utf8');
  const schema = JSON.parse(text) as JsonObject;
  const isClosed = (member: string, value: unknown) => member === 'additionalProperties' && value === false;
  const open = JSON.parse(text, (member, value) => (isClosed(member, value) ? undefined : value));
  return { schema, validate: compile(schema), validateKnown: compile(open) };
}

/** Each in an Ajv of its own, since both forms of a schema have one `$id`. */
function compile(schema: JsonObject): ValidateFunction {
  const ajv = new Ajv2020({ strict: true, allErrors: false });
  addFormats.default(ajv);
  return ajv.compile(schema);
}

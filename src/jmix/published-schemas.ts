/**
 * The published JMIX schemas (draft 2020-12): without a schema nothing starts, rather than everything passing unchecked.
 * That each is there, and to the byte the one that was published (see schemas/LICENCE.md), is found out at import; it is
 * compiled when it is first needed, which not every process comes to, and which takes memory. What we write conforms to
 * the letter; what we read may have members that the schema does not know, and conforms otherwise.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { ValidateFunction } from 'ajv/dist/2020.js';
import type { ErrorCode } from '../errors/codes.js';
import { GatewayError } from '../errors/gateway-error.js';
import { sha256Hex } from './digest.js';
import type { JsonObject, JsonValue } from './strict-json.js';
import { unknownMembers, unknownPlaces } from './unknown-members.js';

export type SchemaName = 'manifest' | 'metadata' | 'files' | 'audit';

interface PublishedSchema {
  readonly schema: JsonObject;
  /** To the letter. */
  readonly validate: () => ValidateFunction;
  /** But for unknown members. */
  readonly validateKnown: () => ValidateFunction;
}

/** With the SHA-256 of each file. */
const SCHEMAS: Readonly<Record<SchemaName, PublishedSchema>> = {
  manifest: load('manifest', 'e45fa92d8c0ec1b9bdb1d3de92298aa0b3974419cc8d2bfabe8451e41caf2f25'),
  metadata: load('metadata', 'a4cdb288db1a2d824141675f6cf55287e86ffe59c22b6693dd26f02d317430a7'),
  files: load('files', 'df79d45762ad189ea3d951284e29cda35b15fad14b78e9c0968fdc5c181a286f'),
  audit: load('audit', '1852193081f0a6c30ead1be70878d7124638f9e1c9c9c8d0879d488b2c23ebb9'),
};

/** What is wrong with `value`, as place and rule, without its values; undefined when it conforms to the letter. */
export function checkSchema(name: SchemaName, value: unknown): string | undefined {
  return problemWith(SCHEMAS[name].validate(), value);
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
  const problem = problemWith(validateKnown(), value);
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

/** @throws FAULT when the file is another one than was published */
function load(name: SchemaName, sha256: string): PublishedSchema {
  const text = readFileSync(new URL(`./schemas/${name}.schema.json`, import.meta.url), 'utf8');
  if (sha256Hex(text) !== sha256) {
    throw new GatewayError('FAULT', `schemas/${name}.schema.json is not the published schema`);
  }
  const schema = JSON.parse(text) as JsonObject;
  const isClosed = (member: string, value: unknown) => member === 'additionalProperties' && value === false;
  const open = () =>
    JSON.parse(text, (member, value) => (isClosed(member, value) ? undefined : value)) as JsonObject;
  return { schema, validate: once(() => compile(schema)), validateKnown: once(() => compile(open())) };
}

/** Each in an Ajv of its own, since both forms of a schema have one `$id`. */
function compile(schema: JsonObject): ValidateFunction {
  // Loaded with the first schema that is compiled, and not before.
  const require = createRequire(import.meta.url);
  const { Ajv2020 } = require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js');
  const { default: addFormats } = require('ajv-formats') as typeof import('ajv-formats');
  // That it is a schema is known, since it is the published one; to prove it again takes longer than all the rest.
  const ajv = new Ajv2020({ strict: true, allErrors: false, meta: false, validateSchema: false });
  addFormats.default(ajv);
  return ajv.compile(schema);
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/**
 * The published JMIX schemas (draft 2020-12), loaded and compiled once at import: without a schema nothing starts,
 * rather than everything passing unchecked. The files are unmodified (see schemas/LICENCE.md).
 */
import { readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { ErrorCode } from '../errors/codes.js';
import { GatewayError } from '../errors/gateway-error.js';

export type SchemaName = 'manifest' | 'metadata' | 'files' | 'audit';

const ajv = new Ajv2020({ strict: true, allErrors: false });
addFormats.default(ajv);

const VALIDATORS: Readonly<Record<SchemaName, ValidateFunction>> = {
  manifest: load('manifest'),
  metadata: load('metadata'),
  files: load('files'),
  audit: load('audit'),
};

/** What is wrong with `value`, as place and rule, without its values; undefined when it conforms. */
export function checkSchema(name: SchemaName, value: unknown): string | undefined {
  const validate = VALIDATORS[name];
  if (validate(value)) return undefined;
  const first = validate.errors?.[0];
  return first === undefined
    ? 'does not conform'
    : `${first.instancePath || '/'} ${first.message ?? first.keyword}`;
}

/** @throws `code` when `value` does not conform to the published schema */
export function assertSchema(name: SchemaName, value: unknown, code: ErrorCode): void {
  const problem = checkSchema(name, value);
  if (problem === undefined) return;
  throw new GatewayError(code, `${name}.json does not conform to its JMIX schema: ${problem}`);
}

function load(name: SchemaName): ValidateFunction {
  const text = readFileSync(new URL(`./schemas/${name}.schema.json`, import.meta.url), 'utf8');
  return ajv.compile(JSON.parse(text));
}

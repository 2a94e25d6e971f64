/**
 * Settings from the environment: `dimse.maxPduBytes` is `DRAWBRIDGE_DIMSE_MAX_PDU_BYTES`. With `_FILE` behind it, the
 * variable names a file that holds the value, so that secrets need not stand in the environment.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { settingsSchema } from './settings.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables that are ours without being settings. */
const OTHER_VARIABLES = new Set(['DRAWBRIDGE_CONFIG', 'DRAWBRIDGE_RUNTIME', 'DRAWBRIDGE_SUPERVISOR']);

/** Path of each setting that one variable can carry (no lists, no maps), by the variable's name. */
export const ENVIRONMENT_NAMES: ReadonlyMap<string, readonly string[]> = new Map(
  scalarPaths(settingsSchema, []).map((path) => [environmentName(path), path]),
);

export interface EnvironmentValue {
  readonly path: readonly string[];
  readonly value: unknown;
}

/** The settings that the environment carries, and the problems found on the way. Unknown variables are problems. */
export function readEnvironment(environment: Environment): {
  readonly values: readonly EnvironmentValue[];
  readonly problems: readonly string[];
} {
  const values: EnvironmentValue[] = [];
  const problems: string[] = [];
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith('DRAWBRIDGE_') || OTHER_VARIABLES.has(variable) || text === undefined) continue;
    const plain = ENVIRONMENT_NAMES.get(variable);
    const fromFile = variable.endsWith('_FILE') ? ENVIRONMENT_NAMES.get(variable.slice(0, -5)) : undefined;
    if (plain !== undefined) {
      values.push({ path: plain, value: parseScalar(plain, text) });
    } else if (fromFile !== undefined) {
      try {
        values.push({ path: fromFile, value: parseScalar(fromFile, readFileSync(text, 'utf8').trimEnd()) });
      } catch {
        problems.push(`${variable}: the file that it names cannot be read`);
      }
    } else {
      problems.push(`${variable}: there is no such setting`);
    }
  }
  return { values, problems };
}

/** A password of digits must stay a string, whatever YAML thinks of it. */
function parseScalar(path: readonly string[], text: string): unknown {
  return path.at(-1) === 'password' ? text : parse(text);
}

function environmentName(path: readonly string[]): string {
  const words = path.map((part) => part.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase());
  return `DRAWBRIDGE_${words.join('_')}`;
}

function scalarPaths(schema: z.ZodType, path: readonly string[]): (readonly string[])[] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    return Object.entries(inner.shape as Record<string, z.ZodType>).flatMap(([key, value]) =>
      scalarPaths(value, [...path, key]),
    );
  }
  return inner instanceof z.ZodArray || inner instanceof z.ZodRecord ? [] : [path];
}

/** The schema below defaults and optionality. */
export function unwrap(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    return unwrap(schema.unwrap() as z.ZodType);
  }
  return schema;
}

/**
 * File and environment → checked, frozen Settings. All problems are collected and reported at once. Nobody below
 * this folder reads `process.env`.
 */
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { GatewayError } from '../errors/gateway-error.js';
import { checkSettings, invalidConfig } from './check.js';
import { type Environment, readEnvironment } from './environment.js';
import { type Settings, settingsSchema } from './settings.js';

/** Settings whose value is shown as `…` in a problem. */
const SECRET_KEYS = new Set(['password']);

/** Settings that name a file or folder; relative ones are relative to the config file. */
const PATH_SETTINGS: readonly (readonly string[])[] = [
  ['dataDir'],
  ['dimse', 'tls', 'certFile'],
  ['dimse', 'tls', 'keyFile'],
  ['dimse', 'tls', 'caFile'],
  ['dimse', 'tls', 'crlFile'],
  ['https', 'certFile'],
  ['https', 'keyFile'],
  ['keys', 'passphraseFile'],
  ['redis', 'caFile'],
];

/**
 * Reads and checks a config file.
 * @throws CONFIG_INVALID with one problem per line: path, value, expectation
 */
export function loadSettings(configPath: string, environment: Environment): Settings {
  let text: string;
  try {
    text = readFileSync(configPath, 'utf8');
  } catch (cause) {
    throw new GatewayError('CONFIG_INVALID', `the config file cannot be read: ${configPath}`, { cause });
  }
  return parseSettings(text, environment, dirname(resolve(configPath)));
}

/**
 * The same from text.
 * @param baseDir what relative paths are relative to
 * @throws CONFIG_INVALID
 */
export function parseSettings(text: string, environment: Environment, baseDir: string): Settings {
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true });
  if (document.errors.length > 0) throw invalidConfig(document.errors.map((error) => error.message));
  // A section whose lines are all commented out is null in YAML, and means: nothing set.
  const raw = withoutNulls(document.toJS() ?? {});
  const fromEnvironment = readEnvironment(environment);
  for (const { path, value } of fromEnvironment.values) setPath(raw, path, value);
  const parsed = settingsSchema.safeParse(raw);
  const problems = [...fromEnvironment.problems];
  if (!parsed.success) {
    problems.push(
      ...parsed.error.issues.map(
        (issue) => `${issue.path.join('.') || 'file'}${shown(raw, issue.path)}: ${issue.message}`,
      ),
    );
    throw invalidConfig(problems);
  }
  const settings = resolvePaths(parsed.data, baseDir);
  problems.push(...checkSettings(settings));
  if (problems.length > 0) throw invalidConfig(problems);
  return deepFreeze(settings);
}

function shown(raw: unknown, path: readonly PropertyKey[]): string {
  const value = path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
    raw,
  );
  if (value === undefined || typeof value === 'object') return '';
  return ` = ${SECRET_KEYS.has(String(path.at(-1))) ? '…' : JSON.stringify(value)}`;
}

function withoutNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, child]) => child !== null)
      .map(([key, child]) => [key, withoutNulls(child)]),
  );
}

function setPath(target: unknown, path: readonly string[], value: unknown): void {
  let at = target as Record<string, unknown>;
  for (const key of path.slice(0, -1)) {
    const next = at[key];
    if (typeof next !== 'object' || next === null) at[key] = {};
    at = at[key] as Record<string, unknown>;
  }
  at[path.at(-1) as string] = value;
}

function resolvePaths(settings: Settings, baseDir: string): Settings {
  const copy = structuredClone(settings);
  for (const path of PATH_SETTINGS) {
    const value = path.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], copy);
    if (typeof value === 'string') setPath(copy, path, absolute(value, baseDir));
  }
  for (const peer of copy.peers) resolveKeys(peer, ['caFile', 'openpgpKeyFile'], baseDir);
  for (const user of copy.dimse.users) resolveKeys(user, ['passwordFile'], baseDir);
  for (const pacs of copy.pacs) resolveKeys(pacs, ['passwordFile'], baseDir);
  resolveKeys(copy.openpgp, ['homeDir', 'passphraseFile'], baseDir);
  for (const exchange of copy.exchanges) {
    const folders = exchange.type === 'folder' ? (['outbox', 'inbox'] as const) : [];
    resolveKeys(exchange, ['caFile', 'passwordFile', 'tokenFile', ...folders], baseDir);
  }
  return copy;
}

function resolveKeys<K extends string>(
  entry: { [key in K]?: string | undefined },
  keys: readonly K[],
  baseDir: string,
) {
  for (const key of keys) {
    const path = entry[key];
    if (path !== undefined) entry[key] = absolute(path, baseDir);
  }
}

function absolute(path: string, baseDir: string): string {
  return isAbsolute(path) ? path : resolve(baseDir, path);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child);
    Object.freeze(value);
  }
  return value;
}

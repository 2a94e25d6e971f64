/** README's tables are those of the code, and the sample configs are configs. `UPDATE_DOCS=1 npx vitest run test/unit/docs.test.ts` writes them anew. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { unwrap } from '../../src/config/environment.js';
import { loadSettings } from '../../src/config/load.js';
import { settingsSchema } from '../../src/config/settings.js';
import { CODES } from '../../src/errors/codes.js';

const README = new URL('../../README.md', import.meta.url);

it.each([
  ['settings', settingsTable()],
  ['errors', errorTable()],
])('README shows the %s as they are', (name, table) => {
  const pattern = new RegExp(`(<!-- ${name} -->\n)[\\s\\S]*?(<!-- /${name} -->)`);
  const before = readFileSync(README, 'utf8');
  const after = before.replace(pattern, (_all, head: string, tail: string) => `${head}${table}\n${tail}`);
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(README, after);
  expect(pattern.test(before)).toBe(true);
  expect(readFileSync(README, 'utf8')).toBe(after);
});

describe('the sample configs', () => {
  const folder = fileURLToPath(new URL('../../samples/config/', import.meta.url));

  it.each(readdirSync(folder).filter((name) => name.endsWith('.yaml')))('%s is valid', (name) => {
    expect(() => loadSettings(join(folder, name), {})).not.toThrow();
  });
});

function errorTable(): string {
  const rows = Object.entries(CODES).map(
    ([code, { kind, meaning, advice }]) => `| \`${code}\` | ${kind} | ${meaning} | ${advice} |`,
  );
  return ['| code | kind | what happened | what to do |', '|---|---|---|---|', ...rows].join('\n');
}

function settingsTable(): string {
  return ['| setting | default | meaning |', '|---|---|---|', ...rowsOf(settingsSchema, [])].join('\n');
}

function rowsOf(schema: z.ZodType, path: readonly string[]): string[] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    return Object.entries(inner.shape as Record<string, z.ZodType>).flatMap(([key, field]) =>
      rowsOf(field, [...path, key]),
    );
  }
  if (inner instanceof z.ZodArray && unwrap(inner.element as z.ZodType) instanceof z.ZodObject) {
    const name = `${path.join('.')}[]`;
    return [
      `| \`${name}\` | none | ${schema.description ?? ''} |`,
      ...rowsOf(inner.element as z.ZodType, [name]),
    ];
  }
  const fallback = schema.safeParse(undefined);
  const shown = fallback.success && fallback.data !== undefined ? `\`${JSON.stringify(fallback.data)}\`` : '';
  return [`| \`${path.join('.')}\` | ${shown} | ${schema.description ?? ''} |`];
}

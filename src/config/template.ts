/**
 * The commented config of the first run: every setting with its meaning and default, made from the schema. What has a
 * default stands there as a comment; lists start empty, with an example.
 */
import { stringify } from 'yaml';
import { z } from 'zod';
import { unwrap } from './environment.js';
import { settingsSchema } from './settings.js';

/** Values that the first run decides. */
export interface TemplateValues {
  readonly site: { readonly id: string; readonly name: string; readonly contact: string };
}

const HEAD = `# Drawbridge configuration. A line that is commented out shows the default.
# Check it with: drawbridge check-config. It takes effect at the next start.
`;

/** By the path of the list. */
const EXAMPLES: Readonly<Record<string, string>> = {
  'dimse.callers': `- { aeTitle: CT1, hosts: [10.1.2.3] }
- { aeTitle: MR1, hosts: [10.1.0.0/16] }`,
  pacs: `- { name: main, aeTitle: PACS, host: 10.1.0.10, port: 104 }`,
  peers: `- id: hospital-b
  name: Hospital B
  url: https://bridge.hospital-b.example:8443
  encryptionKey: <their encryption.pub>
  signingKeys: [<their signing.pub>]
  certificateFingerprints: [<SHA-256 of their certificate>]`,
  exchanges: `- name: town
  type: ftps
  host: ftps.example
  user: hospital-a
  passwordFile: ftps.password
  certificateFingerprints: [<SHA-256 of the server’s certificate>]
  outbox: /{peer}
  inbox: /{site}`,
  routes: `- { to: [hospital-b], match: { callingAe: [CT1] } }`,
};

/** The whole file, in YAML. */
export function formatConfigTemplate(values: TemplateValues): string {
  return `${HEAD}\n${section(settingsSchema, [], values as unknown as Record<string, unknown>)}`;
}

/** An entry for the `peers` list. */
export function formatPeerEntry(entry: object): string {
  return stringify([entry], { lineWidth: 0 });
}

function section(
  schema: z.ZodObject,
  path: readonly string[],
  values: Record<string, unknown> | undefined,
): string {
  const indent = '  '.repeat(path.length);
  return Object.entries(schema.shape as Record<string, z.ZodType>)
    .map(([key, field]) => indented(entry(key, field, [...path, key], values?.[key]), indent))
    .join(path.length === 0 ? '\n' : '');
}

function entry(key: string, field: z.ZodType, path: readonly string[], value: unknown): string {
  const inner = unwrap(field);
  const about = field.description === undefined ? '' : `# ${field.description}\n`;
  if (inner instanceof z.ZodObject) {
    const body = section(inner, path, value as Record<string, unknown> | undefined)
      .split('\n')
      .map((line) => line.slice(2 * (path.length - 1)))
      .join('\n');
    return `${about}${key}:\n${body}`;
  }
  const example = EXAMPLES[path.join('.')];
  if (example !== undefined) return `${about}${key}: []\n${indented(`${example}\n`, '#  ')}`;
  if (value !== undefined) return `${about}${key}: ${JSON.stringify(value)}\n`;
  const fallback = defaultOf(field);
  return `${about}# ${key}:${fallback === undefined ? '' : ` ${JSON.stringify(fallback)}`}\n`;
}

function defaultOf(field: z.ZodType): unknown {
  const parsed = field.safeParse(undefined);
  return parsed.success ? parsed.data : undefined;
}

function indented(text: string, indent: string): string {
  return text.replace(/^(?=.)/gm, indent);
}

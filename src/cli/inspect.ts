/** `drawbridge inspect`: what an envelope says of itself, without any key. Nothing of it is verified. */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { plainText } from '../domain/plain-text.js';
import { isGatewayError } from '../errors/gateway-error.js';
import { type AuditEntry, parseAuditTrail } from '../jmix/audit-trail.js';
import { readManifest } from '../jmix/manifest.js';
import { partyJson, partyText } from './custody-view.js';
import { openEnvelopeInput, withScratch } from './envelope-input.js';
import { manifestJson, manifestLines, visibleDialect } from './envelope-view.js';
import { interruptible } from './interruptible.js';
import { addGnupgOptions, type OpenpgpOptions } from './openpgp-input.js';
import { formatBytes, type JsonOption, printResult } from './output.js';

export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('show what an envelope says of itself; nothing of it is verified')
    .argument('<envelope>', 'folder or archive')
    .option('--json', 'one JSON object on standard output');
  return addGnupgOptions(command).action(async (envelope: string, options: JsonOption & OpenpgpOptions) => {
    const scratch = join(tmpdir(), `drawbridge-inspect-${randomUUID()}`);
    const work = async (signal: AbortSignal) => {
      await mkdir(scratch, { mode: 0o700 });
      const unverified = { ...options, unverified: true as const };
      const source = await openEnvelopeInput(resolve(envelope), scratch, unverified, signal);
      const manifest = readManifest(source.manifest);
      const { payload } = source;
      const dialect = visibleDialect(manifest, source);
      const trail = readTrail(source.audit);
      const facts = {
        ...manifestJson(manifest),
        sealed: payload.kind === 'sealed',
        dialect,
        ...(payload.kind === 'sealed' ? { size_bytes: payload.sizeBytes } : { files: payload.files.length }),
        signatures: {
          assertion: manifest.sender.assertion !== undefined,
          jws: source.jws !== undefined,
        },
        audit: trail.map(({ event, by, to, timestamp, assertion }) => ({
          event,
          timestamp,
          by: partyJson(by),
          to: to === undefined ? null : partyJson(to),
          signed: assertion !== undefined,
        })),
      };
      const size =
        payload.kind === 'sealed' ? formatBytes(payload.sizeBytes) : `${payload.files.length} files`;
      printResult(
        options,
        facts,
        [
          ...manifestLines(manifest),
          `dialect    ${dialect ?? 'canon or php, or known once it is opened'}`,
          `payload    ${facts.sealed ? 'sealed' : 'not sealed'}, ${size}`,
          `signed     assertion ${yes(facts.signatures.assertion)}, JWS ${yes(facts.signatures.jws)} (not verified here)`,
          ...trail.map(
            ({ event, by, timestamp }) =>
              `step       ${plainText(timestamp)} ${plainText(event)} by ${partyText(by)} (claimed)`,
          ),
          ...(facts.deviations.length === 0 ? [] : [`deviations ${facts.deviations.join(', ')}`]),
          ...(facts.unknown_fields.length === 0
            ? []
            : [`unknown    ${plainText(facts.unknown_fields.join(', '), 500)}`]),
        ].join('\n'),
      );
    };
    await interruptible((signal) => withScratch(scratch, () => work(signal)));
  });
}

/** Nothing, when it cannot be read: it is but a claim. */
function readTrail(bytes: Buffer | undefined): readonly AuditEntry[] {
  try {
    return bytes === undefined ? [] : parseAuditTrail(bytes);
  } catch (error) {
    if (isGatewayError(error)) return [];
    throw error;
  }
}

function yes(value: boolean): string {
  return value ? 'yes' : 'no';
}

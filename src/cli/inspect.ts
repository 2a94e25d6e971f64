/** `drawbridge inspect`: what an envelope says of itself, without any key. Nothing of it is verified. */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { formatTimestamp } from '../domain/clock.js';
import { readManifest } from '../jmix/manifest.js';
import { openEnvelopeInput, withScratch } from './envelope-input.js';
import { formatBytes, type JsonOption, printResult } from './output.js';

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('show what an envelope says of itself; nothing of it is verified')
    .argument('<envelope>', 'folder or archive')
    .option('--json', 'one JSON object on standard output')
    .action(async (envelope: string, options: JsonOption) => {
      const scratch = join(tmpdir(), `drawbridge-inspect-${randomUUID()}`);
      await withScratch(scratch, async () => {
        await mkdir(scratch, { mode: 0o700 });
        const source = await openEnvelopeInput(resolve(envelope), scratch);
        const manifest = readManifest(source.manifest);
        const { payload } = source;
        const facts = {
          id: manifest.id,
          timestamp: formatTimestamp(manifest.timestampMs),
          sender: manifest.sender.id,
          receivers: manifest.receivers.map((receiver) => receiver.id),
          sealed: payload.kind === 'sealed',
          ...(payload.kind === 'sealed'
            ? { size_bytes: payload.sizeBytes }
            : { files: payload.files.length }),
          signatures: {
            assertion: manifest.sender.assertion !== undefined,
            jws: source.jws !== undefined,
          },
          deviations: manifest.deviations,
        };
        const size =
          payload.kind === 'sealed' ? formatBytes(payload.sizeBytes) : `${payload.files.length} files`;
        printResult(
          options,
          facts,
          [
            `envelope   ${facts.id}`,
            `made       ${facts.timestamp}`,
            `sender     ${facts.sender}`,
            `receivers  ${facts.receivers.join(', ')}`,
            `payload    ${facts.sealed ? 'sealed' : 'not sealed'}, ${size}`,
            `signed     assertion ${yes(facts.signatures.assertion)}, JWS ${yes(facts.signatures.jws)} (not verified here)`,
          ].join('\n'),
        );
      });
    });
}

function yes(value: boolean): string {
  return value ? 'yes' : 'no';
}

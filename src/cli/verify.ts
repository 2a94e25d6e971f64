/** `drawbridge verify`: are the signatures good, and, with a key, is every byte of the payload? Writes nothing. */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Writable } from 'node:stream';
import { Command } from 'commander';
import type { EnvelopeSource } from '../jmix/envelope-folder.js';
import { readManifest } from '../jmix/manifest.js';
import { openEnvelope } from '../jmix/open.js';
import { type Trust, verifySignatures } from '../jmix/signatures.js';
import { readPrivateKey } from '../trust/key-files.js';
import { MAX_BYTES, MAX_ENTRIES, openEnvelopeInput, withScratch } from './envelope-input.js';
import { type JsonOption, printResult, warnExposedKey } from './output.js';
import { addTrustOptions, type TrustOptions, trustOf } from './trust-options.js';

interface VerifyOptions extends JsonOption, TrustOptions {
  readonly key?: readonly string[];
}

export function verifyCommand(): Command {
  const command = new Command('verify')
    .description('verify an envelope’s signatures; with --key also its payload, to the last byte')
    .argument('<envelope>', 'folder or archive')
    .option('--key <file...>', 'our encryption.key')
    .option('--json', 'one JSON object on standard output');
  return addTrustOptions(command).action(async (envelope: string, options: VerifyOptions) => {
    const trust = await trustOf(options);
    const scratch = join(tmpdir(), `drawbridge-verify-${randomUUID()}`);
    await withScratch(scratch, async () => {
      await mkdir(scratch, { mode: 0o700 });
      const source = await openEnvelopeInput(resolve(envelope), scratch);
      const result =
        options.key === undefined
          ? verifySigned(source, trust)
          : await verifyWhole(source, trust, options.key);
      const signer = result.signedBy ?? 'nobody';
      const extent = result.payloadVerified ? 'payload verified' : 'payload not opened (no --key)';
      printResult(
        options,
        {
          id: result.id,
          signed_by: result.signedBy,
          payload_signed: result.payloadCovered,
          payload_verified: result.payloadVerified,
          checks: result.checks,
        },
        `${result.id}: signed by ${signer}, ${extent}`,
      );
    });
  });
}

function verifySigned(source: EnvelopeSource, trust: Trust) {
  const manifest = readManifest(source.manifest);
  const verdict = verifySignatures({
    manifest,
    manifestBytes: source.manifest,
    ...(source.jws === undefined ? {} : { jws: source.jws }),
    trust,
    nowMs: Date.now(),
  });
  return { id: manifest.id, payloadVerified: false, ...verdict };
}

async function verifyWhole(source: EnvelopeSource, trust: Trust, keys: readonly string[]) {
  const opened = await openEnvelope({
    source,
    recipientKeys: await Promise.all(keys.map((path) => readPrivateKey(path, 'encryption', warnExposedKey))),
    trust,
    nowMs: Date.now(),
    limits: { maxEntries: MAX_ENTRIES, maxBytes: MAX_BYTES },
    stage: async () => new Writable({ write: (_chunk, _encoding, done) => done() }),
  });
  return { payloadVerified: true, ...opened };
}

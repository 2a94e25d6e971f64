/** `drawbridge open`: an envelope → its payload's files, once everything about it has verified. Needs no config. */
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { GatewayError } from '../errors/gateway-error.js';
import { type OpenedEnvelope, openEnvelope } from '../jmix/open.js';
import { syncTree } from '../spool/atomic.js';
import { readPrivateKey } from '../trust/key-files.js';
import { MAX_BYTES, MAX_ENTRIES, openEnvelopeInput, withScratch } from './envelope-input.js';
import { type JsonOption, printResult, warnExposedKey } from './output.js';
import { startProgress } from './progress.js';
import { addTrustOptions, type TrustOptions, trustOf } from './trust-options.js';

interface OpenOptions extends JsonOption, TrustOptions {
  readonly key: readonly string[];
  readonly out: string;
}

export function openCommand(): Command {
  const command = new Command('open')
    .description(
      'open an envelope (folder, .zip, .tar, .tar.gz); the files appear only if everything verified',
    )
    .argument('<envelope>', 'folder or archive')
    .requiredOption('--key <file...>', 'our encryption.key')
    .requiredOption('--out <dir>', 'folder for the payload; must be empty or missing')
    .option('--json', 'one JSON object on standard output');
  return addTrustOptions(command).action(async (envelope: string, options: OpenOptions) => {
    const out = resolve(options.out);
    const madeOut = await ensureEmpty(out);
    const scratch = join(out, `.opening-${randomUUID()}`);
    try {
      const opened = await withScratch(scratch, () => openInto(envelope, out, scratch, options));
      const files = opened.files.map(({ file, sha256, sizeBytes }) => ({
        file,
        sha256,
        size_bytes: sizeBytes,
      }));
      const instances = files.filter(({ file }) => file.startsWith('dicom/')).length;
      printResult(
        options,
        {
          id: opened.id,
          dialect: opened.dialect,
          instances,
          signed_by: opened.signedBy,
          payload_signed: opened.payloadCovered,
          files,
        },
        `${out}: ${instances} instances, ${files.length} files`,
      );
    } catch (error) {
      if (madeOut) await rmdir(out).catch(() => undefined);
      throw error;
    }
  });
}

async function openInto(
  envelope: string,
  out: string,
  scratch: string,
  options: OpenOptions,
): Promise<OpenedEnvelope> {
  const trust = await trustOf(options);
  const recipientKeys = await Promise.all(
    options.key.map((path) => readPrivateKey(path, 'encryption', warnExposedKey)),
  );
  await mkdir(scratch, { mode: 0o700 });
  const source = await openEnvelopeInput(resolve(envelope), scratch);
  const staging = join(scratch, 'payload');
  await mkdir(staging, { mode: 0o700 });
  const progress = startProgress(
    'opening',
    source.payload.kind === 'sealed' ? source.payload.sizeBytes : 0,
    options.json,
  );
  try {
    const opened = await openEnvelope({
      source,
      recipientKeys,
      trust,
      nowMs: Date.now(),
      limits: { maxEntries: MAX_ENTRIES, maxBytes: MAX_BYTES },
      onProgress: (bytes) => progress.update(bytes),
      async stage(name) {
        const path = join(staging, name);
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        return createWriteStream(path, { flags: 'wx', mode: 0o600 });
      },
    });
    await syncTree(staging);
    // Everything has verified: now, and only now, the files become visible.
    for (const name of await readdir(staging)) await rename(join(staging, name), join(out, name));
    return opened;
  } finally {
    progress.stop();
  }
}

/** @returns whether the folder was made just now */
async function ensureEmpty(path: string): Promise<boolean> {
  const names = await readdir(path).catch(() => undefined);
  if (names === undefined) {
    await mkdir(path, { recursive: true });
    return true;
  }
  if (names.length > 0)
    throw new GatewayError('REQUEST_INVALID', `expected an empty or missing folder: ${path}`);
  return false;
}

/** `drawbridge open`: an envelope → its payload's files, once everything about it has verified. Needs no config. */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { GatewayError } from '../errors/gateway-error.js';
import { blankPreambles } from '../inbound/inspect-instances.js';
import { readManifest } from '../jmix/manifest.js';
import { type OpenedEnvelope, openEnvelope } from '../jmix/open.js';
import { stagedIn } from '../jmix/payload-staging.js';
import { isErrno, syncTree } from '../spool/atomic.js';
import { MAX_BYTES, MAX_ENTRIES, openEnvelopeInput, withScratch } from './envelope-input.js';
import { formsJson, manifestJson } from './envelope-view.js';
import { interruptible } from './interruptible.js';
import { addOpenpgpOptions, type OpenpgpOptions, withOpenpgp } from './openpgp-input.js';
import { type JsonOption, printResult } from './output.js';
import { makeOutputFolder } from './output-folder.js';
import { type PassphraseOption, passphraseOption, readOwnKeys } from './own-keys.js';
import { startProgress } from './progress.js';
import {
  addTrustOptions,
  ageLimitsOf,
  assertReceiver,
  inspectorOf,
  signersOf,
  type TrustOptions,
  trustIn,
} from './trust-options.js';

interface OpenOptions extends JsonOption, OpenpgpOptions, PassphraseOption, TrustOptions {
  readonly key?: readonly string[];
  readonly out: string;
}

/** Plaintext lies in there until everything has verified; the number of the process stands in its name. */
const SCRATCH_PREFIX = '.opening-';
const LEFTOVER = /^\.opening-(?:(\d+)-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function openCommand(): Command {
  const command = new Command('open')
    .description(
      'open an envelope (folder, .zip, .tar, .tar.gz, .gpg); the files appear only if everything verified',
    )
    .argument('<envelope>', 'folder or archive')
    .option('--key <file...>', 'our encryption.key; an envelope that is not sealed needs none')
    .addOption(passphraseOption())
    .requiredOption('--out <dir>', 'folder for the payload; must be empty or missing')
    .option('--json', 'one JSON object on standard output');
  return addOpenpgpOptions(addTrustOptions(command)).action((envelope: string, options: OpenOptions) =>
    interruptible(async (signal) => {
      const out = resolve(options.out);
      await assertEmpty(out);
      const made = await makeOutputFolder(out);
      const scratch = join(out, `${SCRATCH_PREFIX}${process.pid}-${randomUUID()}`);
      try {
        const opened = await withScratch(scratch, () => openInto(envelope, out, scratch, options, signal));
        const files = opened.files.map(({ file, sha256, sizeBytes }) => ({
          file,
          sha256,
          size_bytes: sizeBytes,
        }));
        const instances = files.filter(({ file }) => file.startsWith('dicom/')).length;
        printResult(
          options,
          {
            ...manifestJson(opened.manifest),
            dialect: opened.dialect,
            instances,
            signed_by: opened.signedBy ?? null,
            payload_signed: opened.payloadCovered,
            manifest_signed: opened.manifestCovered,
            checks: formsJson(opened.checks),
            unknown_fields: opened.unknownMembers,
            files,
          },
          `${out}: ${instances} instances, ${files.length} files`,
        );
      } catch (error) {
        await made.undo();
        throw error;
      }
    }),
  );
}

async function openInto(
  envelope: string,
  out: string,
  scratch: string,
  options: OpenOptions,
  signal: AbortSignal,
): Promise<OpenedEnvelope> {
  const signers = await signersOf(options);
  const recipientKeys = await readOwnKeys(options.key ?? [], 'encryption', options);
  await mkdir(scratch, { mode: 0o700 });
  const source = await openEnvelopeInput(resolve(envelope), scratch, options, signal);
  const manifest = readManifest(source.manifest);
  assertReceiver(options, manifest);
  if (source.payload.kind === 'sealed' && recipientKeys.length === 0) {
    throw new GatewayError('REQUEST_INVALID', 'the envelope is sealed: expected --key <file>');
  }
  const age = ageLimitsOf(options);
  const staging = join(scratch, 'payload');
  await mkdir(staging, { mode: 0o700 });
  const progress = await startProgress(
    'opening',
    source.payload.kind === 'sealed' ? source.payload.sizeBytes : 0,
    options.json,
  );
  try {
    const opened = await openEnvelope({
      source,
      recipientKeys,
      trust: trustIn(signers, manifest, source.openpgpSigner !== undefined),
      nowMs: Date.now(),
      ...(age === undefined ? {} : { age }),
      limits: { maxEntries: MAX_ENTRIES, maxBytes: MAX_BYTES },
      onProgress: (bytes) => progress.update(bytes),
      signal,
      inspect: inspectorOf(options),
      ...stagedIn(staging),
    });
    if (options.preamble === 'blank') await blankPreambles(join(staging, 'dicom'));
    await syncTree(staging);
    signal.throwIfAborted();
    // Everything has verified: now, and only now, the files become visible.
    for (const name of await readdir(staging)) await rename(join(staging, name), join(out, name));
    return withOpenpgp(source, opened);
  } finally {
    progress.stop();
  }
}

/**
 * Clears what a killed `open` has left in the folder, when there is nothing else.
 * @throws REQUEST_INVALID
 */
async function assertEmpty(path: string): Promise<void> {
  const names = await readdir(path).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw new GatewayError('REQUEST_INVALID', `expected an empty or missing folder: ${path}`, {
      cause: error,
    });
  });
  if (names.length === 0) return;
  if (!names.every(isLeftover))
    throw new GatewayError('REQUEST_INVALID', `expected an empty or missing folder: ${path}`);
  for (const name of names) await rm(join(path, name), { recursive: true, force: true });
  process.stderr.write(`cleared what an interrupted open had left in ${path}\n`);
}

/** The scratch folder of an `open` that was killed. */
function isLeftover(name: string): boolean {
  const found = LEFTOVER.exec(name);
  if (found === null) return false;
  // Without the number: by a version that did not write it.
  return found[1] === undefined || !isRunning(Number(found[1]));
}

/** In a container the one before us often had our own number. */
function isRunning(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Somebody else's process.
    return isErrno(error, 'EPERM');
  }
}

/**
 * One envelope sealed or opened in a process of its own, so that its memory can be seen; or what it is measured
 * against. Told what by JSON. Ours does what the bridge does from disk to disk: what was opened gets its name only when
 * all of it has verified, and every file and folder is synced, unless it is told not to.
 */
import { createCipheriv, createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseEnvelopeId } from '../src/domain/envelope-id.js';
import { openEnvelopeFolder } from '../src/jmix/envelope-folder.js';
import { openEnvelope } from '../src/jmix/open.js';
import { stagedIn } from '../src/jmix/payload-staging.js';
import {
  ed25519PrivateKey,
  ed25519PublicKey,
  x25519PrivateKey,
  x25519PublicKey,
} from '../src/jmix/raw-keys.js';
import type { PayloadFile } from '../src/jmix/seal.js';
import { syncFolder, syncTree } from '../src/spool/atomic.js';
import { createSpool } from '../src/spool/envelope-store.js';
import { readBuffer, readBytesFrom } from '../src/spool/instance-file.js';
import { createLayout } from '../src/spool/layout.js';
import { sealToFolder } from '../src/spool/sealed-envelope.js';

/** Raw keys in base64. */
export interface EnvelopeKeys {
  readonly recipient: { readonly privateKey: string; readonly publicKey: string };
  readonly signer: { readonly privateKey: string; readonly publicKey: string };
}

export interface FileToSeal {
  readonly name: string;
  readonly sizeBytes: number;
  /** Made up where it lies nowhere. */
  readonly path?: string;
}

export type EnvelopeTask = {
  readonly keys: EnvelopeKeys;
  readonly id: string;
  /** A folder for what is of no interest afterwards; nothing in it is removed here, since that would slow the next files down. */
  readonly scratch: string;
  /** Ours leaves what it wrote to the kernel, as the others do; false in no bridge. */
  readonly isUnsynced?: true;
} & (
  | { readonly act: 'seal'; readonly dataDir: string; readonly files: readonly FileToSeal[] }
  | { readonly act: 'open'; readonly envelope: string; readonly out: string }
  | { readonly act: 'in-memory'; readonly bytes: number }
  | { readonly act: 'jmix-js-seal'; readonly library: string; readonly study: string; readonly out: string }
  | { readonly act: 'jmix-js-open'; readonly library: string; readonly envelope: string }
);

/** Written to standard output. */
export interface EnvelopeResult {
  readonly seconds: number;
  /** User and system, of all threads. */
  readonly cpuSeconds: number;
  /** Of the whole process, by the kernel. */
  readonly peakMib: number;
  /** Where the envelope is. */
  readonly path?: string;
}

/** What jmix-js is called with; the parts of it that are used. */
interface JmixJs {
  readonly JmixBuilder: {
    new (): {
      packageEncryptedToDirectory(
        study: string,
        config: unknown,
        out: string,
        recipientKey: string,
      ): Promise<string>;
      decryptEnvelope(envelope: string, recipientKey: string): Promise<string>;
    };
    loadConfig(path: string): Promise<unknown>;
  };
}

const PIECE_BYTES = 256 * 1024;
/** The study that warms the process up: files large enough to be written as slices are, and often enough. */
const WARM_FILES = 500;
const WARM_FILE_BYTES = 66_000;
const WARM_TURNS = 3;
const MAX_BYTES = 64 * 1024 ** 3;
const ENTITY = { name: 'Bench', id: 'org:bench', contact: 'bench@example.org' };

const task = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as EnvelopeTask;
const madeUpPiece = Buffer.alloc(PIECE_BYTES, 'not really DICOM ');
const raw = (text: string) => Buffer.from(text, 'base64');
await warmUp();
const usedBefore = process.cpuUsage();
const startedAtMs = performance.now();
const path = await run();
const used = process.cpuUsage(usedBefore);
const result: EnvelopeResult = {
  seconds: (performance.now() - startedAtMs) / 1000,
  cpuSeconds: (used.user + used.system) / 1e6,
  peakMib: process.resourceUsage().maxRSS / 1024,
  ...(path === undefined ? {} : { path }),
};
process.stdout.write(`${JSON.stringify(result)}\n`);

/** A small study there and back, so that the process is as warm as one that has run for days. */
async function warmUp(): Promise<void> {
  if (task.act !== 'seal' && task.act !== 'open') return;
  const root = await mkdtemp(join(task.scratch, 'warm-'));
  let files: readonly FileToSeal[] = Array.from({ length: WARM_FILES }, (_, index) => ({
    name: `dicom/${index}.dcm`,
    sizeBytes: WARM_FILE_BYTES,
  }));
  for (let turn = 0; turn < WARM_TURNS; turn += 1) {
    const common = { keys: task.keys, id: randomUUID(), scratch: root };
    const dataDir = join(root, `data-${turn}`);
    const envelope = await seal({ ...common, act: 'seal', dataDir, files });
    const out = await open({ ...common, act: 'open', envelope, out: join(root, `out-${turn}`) });
    // The next time from the disk, as a bridge's.
    files = files.map((file) => ({ ...file, path: join(out, file.name) }));
  }
}

function run(): Promise<string | undefined> {
  switch (task.act) {
    case 'seal':
      return seal(task);
    case 'open':
      return open(task);
    case 'in-memory':
      return inMemory(task.bytes);
    case 'jmix-js-seal':
      return jmixJsSeal(task);
    case 'jmix-js-open':
      return jmixJsOpen(task);
  }
}

async function seal({
  dataDir,
  files,
  id,
  keys,
  isUnsynced,
}: EnvelopeTask & { act: 'seal' }): Promise<string> {
  const layout = createLayout(dataDir);
  await createSpool(layout);
  const envelopeId = parseEnvelopeId(id);
  const buffer = readBuffer();
  const request: Parameters<typeof sealToFolder>[1] = {
    id: envelopeId,
    createdAtMs: Date.now(),
    sender: ENTITY,
    recipients: [{ entity: ENTITY, key: x25519PublicKey(raw(keys.recipient.publicKey)) }],
    metadata: { patient: { id: 'BENCH' } },
    files: files.map(
      ({ name, sizeBytes, path: source }): PayloadFile => ({
        name,
        sizeBytes,
        open: () => (source === undefined ? madeUp(sizeBytes) : readBytesFrom(source, 0, buffer)),
        ...(source === undefined ? {} : { stored: { from: source } }),
      }),
    ),
    signingKey: ed25519PrivateKey(raw(keys.signer.privateKey)),
  };
  if (isUnsynced === true)
    await sealToFolder(layout, request, async (from, to) => {
      await rename(from.path, to);
      await from.remove();
    });
  else await sealToFolder(layout, request);
  return layout.sealedEnvelope(envelopeId);
}

/** A study larger than any disk would like to hold. */
async function* madeUp(sizeBytes: number): AsyncGenerator<Buffer, void, undefined> {
  for (let left = sizeBytes; left > 0; left -= madeUpPiece.length) yield madeUpPiece.subarray(0, left);
}

async function open({ envelope, out, keys, isUnsynced }: EnvelopeTask & { act: 'open' }): Promise<string> {
  const staging = `${out}.staging`;
  await mkdir(staging, { mode: 0o700 });
  await openEnvelope({
    source: await openEnvelopeFolder(envelope),
    recipientKeys: [x25519PrivateKey(raw(keys.recipient.privateKey))],
    trust: { kind: 'pinned', keys: [ed25519PublicKey(raw(keys.signer.publicKey))] },
    nowMs: Date.now(),
    limits: { maxEntries: 200_000, maxBytes: MAX_BYTES },
    ...stagedIn(staging),
  });
  if (isUnsynced !== true) await syncTree(staging);
  await rename(staging, out);
  if (isUnsynced !== true) await syncFolder(dirname(out));
  return out;
}

/** What one core can do at best: the cipher, and the hash of what comes out of it. */
async function inMemory(bytes: number): Promise<undefined> {
  const plain = randomBytes(PIECE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', randomBytes(32), randomBytes(12), { authTagLength: 16 });
  const hash = createHash('sha256');
  for (let left = bytes; left > 0; left -= plain.length) hash.update(cipher.update(plain.subarray(0, left)));
  cipher.final();
  hash.digest();
}

async function loadJmixJs(library: string): Promise<JmixJs> {
  return (await import(pathToFileURL(join(library, 'dist', 'index.js')).href)) as JmixJs;
}

async function jmixJsSeal({
  library,
  study,
  out,
  keys,
}: EnvelopeTask & { act: 'jmix-js-seal' }): Promise<string> {
  const { JmixBuilder } = await loadJmixJs(library);
  const config = await JmixBuilder.loadConfig(join(library, 'samples', 'sample_config.json'));
  await rm(out, { recursive: true, force: true });
  return new JmixBuilder().packageEncryptedToDirectory(study, config, out, keys.recipient.publicKey);
}

async function jmixJsOpen({
  library,
  envelope,
  keys,
}: EnvelopeTask & { act: 'jmix-js-open' }): Promise<string> {
  const { JmixBuilder } = await loadJmixJs(library);
  return new JmixBuilder().decryptEnvelope(envelope, keys.recipient.privateKey);
}

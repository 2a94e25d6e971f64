/**
 * Sealing and opening, disk to disk: ours against what one core can do in memory, `gpg`, and jmix-js where
 * BENCH_JMIX_JS names the folder of its repository, built (`npm ci && npx tsc`). Ours and jmix-js are timed within
 * their processes; gpg as a whole process, less what it takes for an empty file; alone, it neither packs a tar nor unpacks
 * one, and it never syncs what it writes. Then the memory of ours for a study of BENCH_LARGE_BYTES, made up on the fly.
 */
import { execFile } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeStudy } from '../samples/make-studies.mjs';
import { rawPrivateKey, rawPublicKey } from '../src/jmix/raw-keys.js';
import type { EnvelopeKeys, EnvelopeResult, EnvelopeTask } from './envelope-child.js';
import { createGpg } from './gpg.js';
import {
  type Contestant,
  compare,
  keep,
  type Measured,
  type Row,
  TABLE_HEAD,
  warmMemory,
} from './measure.js';

const FILES = Number(process.env['BENCH_FILES'] ?? 500);
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5);
const LARGE_BYTES = Number(process.env['BENCH_LARGE_BYTES'] ?? 8 * 1024 ** 3);
const JMIX_JS = process.env['BENCH_JMIX_JS'];
/** A CT slice of 512 × 512 pixels; the study repeats the slices that were made. */
const ROWS = 512;
const SLICES_MADE = 20;
const LARGE_FILE_BYTES = 512 * 1024;
const GOAL_IN_MEMORY = 0.6;
const GOAL_GPG = 2;
const GOAL_JMIX_JS = 8;
/** What is compared: none of the others waits for the disk. */
const UNSYNCED = 'drawbridge';
/** What a bridge does. */
const SYNCED = 'drawbridge, every file and folder synced';
const run = promisify(execFile);

/** Not a distributive Omit otherwise. */
type TaskOf<Act> = Act extends EnvelopeTask ? Omit<Act, 'keys' | 'id' | 'scratch'> : never;

const root = await mkdtemp(join(tmpdir(), 'drawbridge-bench-'));
const keys = makeKeys();
const gpg = createGpg(root);
try {
  const study = join(root, 'study');
  const files = await makeFiles(study);
  const bytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const tar = join(root, 'study.tar');
  await run('tar', ['-cf', tar, '-C', study, '.']);
  const empty = join(root, 'empty');
  await writeFile(empty, '');
  await gpg.makeKey();

  const out = join(root, 'out');
  const nowhere = async (pieces: AsyncIterable<Buffer>): Promise<void> => {
    for await (const _ of pieces);
  };
  let turns = 0;
  /** @param inputs lie in memory when the turn begins, as what has just come does */
  const before = async (inputs: readonly string[]) => {
    // Not removed now: some file systems are slow to make files where many were just deleted.
    if (turns > 0) await rename(out, join(root, `done-${turns}`));
    turns += 1;
    await mkdir(out);
    // What the one before left to be written is not for the next to wait for.
    await run('sync');
    await warmMemory(root, 3 * bytes);
    // In pieces: what this process holds is counted as its children's.
    for (const path of inputs) await pipeline(createReadStream(path), nowhere);
  };
  const inMemory: Contestant = {
    name: 'AES-256-GCM and SHA-256 in memory',
    goal: GOAL_IN_MEMORY,
    run: () => child({ act: 'in-memory', bytes }),
  };

  const sealing: Row = {
    title: 'seal',
    before: () => before([tar, ...files.map(({ path }) => path)]),
    megabytes: bytes / 1e6,
    goal: GOAL_GPG,
    contestants: [
      {
        name: UNSYNCED,
        run: () => child({ act: 'seal', dataDir: join(out, 'data'), files, isUnsynced: true }),
      },
      {
        name: SYNCED,
        goal: 'none',
        run: () => child({ act: 'seal', dataDir: join(out, 'synced'), files }),
      },
      inMemory,
      gpg.alone('gpg --encrypt, compression as it comes', ['--encrypt', '-r', 'bench'], tar, empty),
      gpg.alone('gpg --encrypt, no compression', ['--encrypt', '-r', 'bench', '-z', '0'], tar, empty),
      gpg.withTar(
        'gpg --encrypt, no compression, packed by tar',
        ['--encrypt', '-r', 'bench', '-z', '0'],
        empty,
        () => ['-cf', join(out, 'study.tar.gpg'), '-C', study, '.'],
      ),
      ...jmixJs((library) => ({ act: 'jmix-js-seal', library, study, out: join(out, 'js') })),
    ],
  };
  const sealed = await child({ act: 'seal', dataDir: join(root, 'data'), files });
  const packed = await gpg.make('packed', ['--encrypt', '-r', 'bench'], tar);
  const plain = await gpg.make('plain', ['--encrypt', '-r', 'bench', '-z', '0'], tar);
  const emptyOne = await gpg.make('empty-one', ['--encrypt', '-r', 'bench'], empty);
  const js = JMIX_JS === undefined ? undefined : await sealWithJmixJs(JMIX_JS, study);
  const opening: Row = {
    title: 'open',
    before: async () => {
      const envelope = sealed.path ?? '';
      await before([packed, plain, ...(await readdir(envelope)).map((name) => join(envelope, name))]);
      // jmix-js opens in place.
      if (js !== undefined) await cp(js, join(out, 'js'), { recursive: true });
    },
    megabytes: bytes / 1e6,
    goal: GOAL_GPG,
    contestants: [
      {
        name: UNSYNCED,
        run: () =>
          child({
            act: 'open',
            envelope: sealed.path ?? '',
            out: join(out, 'opened'),
            isUnsynced: true,
          }),
      },
      {
        name: SYNCED,
        goal: 'none',
        run: () => child({ act: 'open', envelope: sealed.path ?? '', out: join(out, 'synced') }),
      },
      inMemory,
      gpg.alone('gpg --decrypt, compression as it comes', ['--decrypt'], packed, emptyOne),
      gpg.alone('gpg --decrypt, no compression', ['--decrypt'], plain, emptyOne),
      gpg.withTar('gpg --decrypt, no compression, unpacked by tar', ['--decrypt'], emptyOne, () => [
        '-xf',
        plain,
        '-C',
        out,
      ]),
      ...jmixJs((library) => ({ act: 'jmix-js-open', library, envelope: join(out, 'js') })),
    ],
  };
  keep(
    'Sealing and opening, disk to disk',
    [
      `A study of ${files.length} CT slices, ${(bytes / 1e6).toFixed(0)} MB; ${ROUNDS} turns. Ours is timed after a small study, as in a bridge that has run for days.`,
      'The others leave what they wrote to the kernel, so ours is compared without its syncs; with them, it waits for the disk.',
      ...(JMIX_JS === undefined ? ['jmix-js was left out: BENCH_JMIX_JS names no copy of it.'] : []),
    ].join(' '),
    [...TABLE_HEAD, ...(await compare(sealing, ROUNDS)), ...(await compare(opening, ROUNDS))],
  );
  await rm(out, { recursive: true, force: true });
  await large();
} finally {
  await gpg.stop();
  await rm(root, { recursive: true, force: true });
}

/** Memory, once, for a study that fits into no memory. */
async function large(): Promise<void> {
  const { bavail, bsize } = await statfs(root);
  // Sealed and opened lie there together, and something is to be left.
  const bytes = Math.min(LARGE_BYTES, Math.floor((bavail * bsize) / 3));
  const count = Math.ceil(bytes / LARGE_FILE_BYTES);
  const files = Array.from({ length: count }, (_, index) => ({
    name: `dicom/1.2.826.0.1.3680043.10.${index}.dcm`,
    sizeBytes: LARGE_FILE_BYTES,
  }));
  const sealed = await child({ act: 'seal', dataDir: join(root, 'large'), files });
  const opened = await child({ act: 'open', envelope: sealed.path ?? '', out: join(root, 'large-opened') });
  const megabytes = (count * LARGE_FILE_BYTES) / 1e6;
  const line = (what: string, { seconds, peakMib = 0 }: Measured) =>
    `| ${what} | ${(megabytes / seconds).toFixed(0)} | ${peakMib.toFixed(0)} (goal 150) |`;
  keep(
    'Memory for a large study',
    `${count} files, ${(megabytes / 1000).toFixed(1)} GB, made up while they are sealed; once. Peak RSS of the whole process.`,
    ['| what | MB/s | peak RSS, MiB |', '|---|---|---|', line('seal', sealed), line('open', opened)],
  );
}

async function makeFiles(
  folder: string,
): Promise<readonly { name: string; path: string; sizeBytes: number }[]> {
  const made = await makeStudy({ kind: 'ct', out: join(root, 'made'), slices: SLICES_MADE, rows: ROWS });
  await mkdir(folder);
  const files = [];
  for (let index = 0; index < FILES; index += 1) {
    const path = join(folder, `${String(index).padStart(4, '0')}.dcm`);
    await copyFile(made[index % made.length]?.path ?? '', path);
    files.push({
      name: `dicom/1.2.826.0.1.3680043.10.${index}.dcm`,
      path,
      sizeBytes: (await stat(path)).size,
    });
  }
  return files;
}

function makeKeys(): EnvelopeKeys {
  const recipient = generateKeyPairSync('x25519');
  const signer = generateKeyPairSync('ed25519');
  return {
    recipient: {
      privateKey: rawPrivateKey(recipient.privateKey).toString('base64'),
      publicKey: rawPublicKey(recipient.publicKey).toString('base64'),
    },
    signer: {
      privateKey: rawPrivateKey(signer.privateKey).toString('base64'),
      publicKey: rawPublicKey(signer.publicKey).toString('base64'),
    },
  };
}

async function child(task: TaskOf<EnvelopeTask>): Promise<EnvelopeResult> {
  const script = fileURLToPath(new URL('./envelope-child.js', import.meta.url));
  const told = join(root, `task-${randomUUID()}.json`);
  await writeFile(told, JSON.stringify({ ...task, keys, id: randomUUID(), scratch: root }));
  const { stdout } = await run(process.execPath, [script, told], { maxBuffer: 1 << 20 });
  // jmix-js talks on standard output; the result comes last.
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as EnvelopeResult;
}

function jmixJs(taskOf: (library: string) => TaskOf<EnvelopeTask>): readonly Contestant[] {
  if (JMIX_JS === undefined) return [];
  return [{ name: 'jmix-js', goal: GOAL_JMIX_JS, run: () => child(taskOf(JMIX_JS)) }];
}

async function sealWithJmixJs(library: string, study: string): Promise<string> {
  const { path = '' } = await child({ act: 'jmix-js-seal', library, study, out: join(root, 'js') });
  return path;
}

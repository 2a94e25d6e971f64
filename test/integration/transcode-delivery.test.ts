/** Studies for a PACS that does not take their transfer syntax: converted, told, and nothing left behind. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { parseFileMeta } from '../../src/dicom/part10.js';
import { createTranscoder, type Transcoder } from '../../src/dicom/transcoder.js';
import type { OutgoingInstance, StoreOutcome } from '../../src/dimse/store-scu.js';
import { storeInstances } from '../../src/dimse/store-scu.js';
import { parseAeTitle } from '../../src/domain/ae-title.js';
import { parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { parseUid } from '../../src/domain/uid.js';
import { openConverter } from '../../src/inbound/convert.js';
import { createLog } from '../../src/observe/log.js';
import { createSpool } from '../../src/spool/envelope-store.js';
import { hashFrom, readBytesFrom } from '../../src/spool/instance-file.js';
import { createLayout, type Layout } from '../../src/spool/layout.js';
import { wipeScratch } from '../../src/spool/scratch.js';
import { freePort } from '../support/ports.js';
import { type RunningProcess, runProcess, startProcess } from '../support/processes.js';
import { describeWith } from '../support/tools.js';

const EXPLICIT = '1.2.840.10008.1.2.1';
const IMPLICIT = '1.2.840.10008.1.2';
const JPEG_LOSSLESS = '1.2.840.10008.1.2.4.70';
const ID = parseEnvelopeId('00000000-0000-4000-8000-000000000001');
/** As it is built, since a thread is started from a file. */
const ENTRY = new URL('../../dist/src/dicom/transcode-worker.js', import.meta.url);

let root = '';
let layout: Layout = createLayout('');
let pacs: RunningProcess | undefined;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-transcode-'));
  layout = createLayout(join(root, 'data'));
  await createSpool(layout);
});
afterEach(async () => {
  await pacs?.stop();
  await rm(root, { recursive: true, force: true });
});

/** CT slices in JPEG lossless, opened. */
async function compressedStudy(slices: number): Promise<readonly string[]> {
  const out = join(root, 'plain');
  const made = await makeStudy({ kind: 'ct', out, slices, rows: 32 });
  const folder = layout.openedOf(ID);
  await mkdir(folder, { recursive: true });
  return Promise.all(
    made.map(async ({ path: file }, at) => {
      const path = join(folder, `${at}.dcm`);
      const { code, output } = await runProcess({ command: 'dcmcjpeg', args: [file, path] });
      if (code !== 0) throw new Error(output);
      return path;
    }),
  );
}

async function opened(path: string) {
  const bytes = await readFile(path);
  const meta = parseFileMeta(bytes);
  if (meta === undefined) throw new Error('no Part 10 file');
  return {
    file: path.slice(layout.openedOf(ID).length + 1),
    sopInstanceUid: parseUid(meta.sopInstanceUid, 'SOPInstanceUID'),
    sopClassUid: parseUid(meta.sopClassUid, 'SOPClassUID'),
    transferSyntaxUid: parseUid(meta.transferSyntaxUid, 'TransferSyntaxUID'),
    dataSetOffset: meta.dataSetOffset,
    dataSetBytes: bytes.length - meta.dataSetOffset,
  };
}

interface SendOptions {
  readonly entry?: URL;
  readonly stallMs?: number;
  /** Happens when an instance has been written by the decoder, and when it is ready to be sent. */
  readonly decoded?: () => Promise<void>;
  readonly converted?: () => Promise<void>;
}

async function send(paths: readonly string[], port: number, options: SendOptions = {}) {
  const instances = await Promise.all(paths.map(opened));
  const decoder = createTranscoder({ entry: ENTRY, ...options });
  const transcoder: Transcoder = {
    async transcode(job, signal) {
      await decoder.transcode(job, signal);
      await options.decoded?.();
    },
  };
  const converter = openConverter(
    { layout, transcoder },
    ID,
    instances,
    createLog('silent', { service: 'test' }),
  );
  const outcomes: StoreOutcome[] = [];
  const outgoing = instances.map(
    (instance): OutgoingInstance => ({
      ...instance,
      sizeBytes: instance.dataSetBytes,
      open: (into) => readBytesFrom(join(layout.openedOf(ID), instance.file), instance.dataSetOffset, into),
    }),
  );
  await storeInstances({
    pacs: { aeTitle: parseAeTitle('PACS'), host: '127.0.0.1', port },
    callingAe: parseAeTitle('DRAWBRIDGE'),
    instances: outgoing,
    async convert(...args) {
      const instance = await converter.convert(...args);
      await options.converted?.();
      return instance;
    },
    onOutcome: (outcome) => void outcomes.push(outcome),
  });
  const told = outcomes.map((outcome) => converter.outcomeOf(outcome));
  await converter.close();
  expect(await readdir(layout.scratch)).toEqual([]);
  return { instances, outcomes, told };
}

async function startPacs(...args: readonly string[]): Promise<number> {
  const port = await freePort();
  const received = join(root, 'received');
  await mkdir(received);
  pacs = await startProcess({
    command: 'storescp',
    args: ['-aet', 'PACS', '-B', '-od', received, ...args, String(port)],
    env: { TCP_NODELAY: '1' },
    ready: { port },
  });
  return port;
}

/** A PACS that takes CT in Explicit VR Little Endian, and in nothing else. */
async function startExplicitPacs(): Promise<number> {
  const config = join(root, 'storescp.cfg');
  const lines = [
    ['[[TransferSyntaxes]]', '[Explicit]', 'TransferSyntax1 = LittleEndianExplicit'],
    ['[[PresentationContexts]]', '[CT]', 'PresentationContext1 = CTImageStorage\\Explicit'],
    ['[[Profiles]]', '[Only]', 'PresentationContexts = CT'],
  ];
  await writeFile(config, `${lines.flat().join('\n')}\n`);
  return startPacs('-xf', config, 'Only');
}

async function elementsOf(path: string): Promise<string> {
  const { output } = await runProcess({ command: 'dcmdump', args: ['+L', '-q', path] });
  return output
    .split('\n')
    .filter((line) => !line.startsWith('#') && !line.startsWith('(0002,'))
    .join('\n');
}

describeWith('dcmtk', 'a compressed study for a PACS that takes no compressed one', () => {
  it.each([
    ['Implicit VR Little Endian', IMPLICIT, () => startPacs('+xi'), '+ti'],
    ['Explicit VR Little Endian', EXPLICIT, startExplicitPacs, '+te'],
  ] as const)('arrives in %s, whole, and the sender hears of it', async (_, uid, start, option) => {
    const paths = await compressedStudy(3);
    const { instances, outcomes, told } = await send(paths, await start());
    expect(outcomes.map(({ result, transferSyntaxUid }) => [result, transferSyntaxUid])).toEqual(
      instances.map(() => ['stored', uid]),
    );
    const received = await readdir(join(root, 'received'));
    expect(received).toHaveLength(3);
    for (const [at, path] of paths.entries()) {
      const { sopInstanceUid, dataSetOffset } = await opened(path);
      const name = received.find((each) => each.endsWith(sopInstanceUid)) ?? '';
      const file = join(root, 'received', name);
      const reference = join(root, `${at}.reference`);
      await runProcess({ command: 'dcmdjpeg', args: [path, `${reference}.plain`] });
      await runProcess({ command: 'dcmconv', args: [option, `${reference}.plain`, reference] });
      expect(await elementsOf(file)).toBe(await elementsOf(reference));
      const outcome = outcomes.findIndex((each) => each.sopInstanceUid === sopInstanceUid);
      const meta = parseFileMeta(await readFile(file));
      expect(told[outcome]).toEqual({
        sha256: await hashFrom(path, dataSetOffset),
        converted: { from: JPEG_LOSSLESS, to: uid, sha256: await hashFrom(file, meta?.dataSetOffset ?? 0) },
      });
    }
  });

  it('goes as it is, byte for byte, where the PACS takes it, and nothing is told', async () => {
    const [path = ''] = await compressedStudy(1);
    const { outcomes, told } = await send([path], await startPacs('+xs'));
    expect(outcomes.map(({ transferSyntaxUid }) => transferSyntaxUid)).toEqual([JPEG_LOSSLESS]);
    expect(told).toEqual([undefined]);
  });

  it('arrives but for the instance whose frame is damaged, which is refused by name', async () => {
    const paths = await compressedStudy(3);
    const bytes = await readFile(paths[1] ?? '');
    await writeFile(paths[1] ?? '', bytes.fill(0x55, bytes.length - 200, bytes.length - 150));
    const { instances, outcomes } = await send(paths, await startPacs('+xi'));
    const byUid = new Map(outcomes.map((outcome) => [outcome.sopInstanceUid, outcome]));
    expect(instances.map(({ sopInstanceUid }) => byUid.get(sopInstanceUid)?.result)).toEqual([
      'stored',
      'refused',
      'stored',
    ]);
    expect(byUid.get(instances[1]?.sopInstanceUid ?? '')?.error).toMatchObject({ code: 'TRANSCODE_FAILED' });
  });

  it.each([
    ['hangs', "require('worker_threads').parentPort.on('message',()=>{for(;;);})"],
    ['dies', "require('worker_threads').parentPort.on('message',()=>process.exit(3))"],
  ])('is refused, and the process lives on, when a decoder %s', async (_, code) => {
    const entry = join(root, 'decoder.cjs');
    await writeFile(entry, code);
    const paths = await compressedStudy(2);
    const options = { entry: new URL(`file://${entry}`), stallMs: 300 };
    const { outcomes } = await send(paths, await startPacs('+xi'), options);
    expect(outcomes.map(({ error }) => error?.code)).toEqual(['TRANSCODE_FAILED', 'TRANSCODE_FAILED']);
  });

  it.each(['decoded', 'converted'])(
    'is sent again when a starting gateway wipes what was just %s',
    async (at) => {
      const paths = await compressedStudy(2);
      const port = await startPacs('+xi');
      const { outcomes } = await send(paths, port, { [at]: () => wipeScratch(layout, 0, Date.now()) });
      expect(outcomes.map(({ result, error }) => [result, error?.kind])).toEqual([
        ['unanswered', 'ambiguous'],
        ['unanswered', 'ambiguous'],
      ]);
      expect((await send(paths, port)).outcomes.map(({ result }) => result)).toEqual(['stored', 'stored']);
    },
  );
});

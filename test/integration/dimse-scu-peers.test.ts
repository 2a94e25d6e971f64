/** The C-STORE SCU against real PACS: DCMTK's storescp, which writes what it reads, and Orthanc. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseFileMeta } from '../../src/dicom/part10.js';
import { echo } from '../../src/dimse/echo-scu.js';
import { openScuAssociation } from '../../src/dimse/scu-association.js';
import { type OutgoingInstance, type StoreOutcome, storeInstances } from '../../src/dimse/store-scu.js';
import { parseAeTitle } from '../../src/domain/ae-title.js';
import { freePort } from '../support/ports.js';
import { describeWith, tool } from '../support/tools.js';
import { until } from '../support/until.js';
import {
  type BuildEncoding,
  dataSet,
  deflate,
  element,
  encapsulatedPixels,
  IDENTITY,
} from '../unit/dicom/element-builder.js';

const CALLING = parseAeTitle('BRIDGE');
const ORTHANC_SECONDS = 60;

let folder = '';
let pacsProcess: ChildProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-scu-'));
});
afterEach(async () => {
  if (pacsProcess !== undefined && pacsProcess.exitCode === null) {
    const gone = once(pacsProcess, 'exit');
    pacsProcess.kill('SIGKILL');
    await gone;
  }
  pacsProcess = undefined;
  await rm(folder, { recursive: true, force: true });
});

const pacsAt = (port: number) => ({ aeTitle: parseAeTitle('PACS'), host: '127.0.0.1', port });

async function startStorescp(...options: string[]) {
  const port = await freePort();
  const args = ['-aet', 'PACS', '-od', folder, '+B', ...options, String(port)];
  pacsProcess = spawn(tool('dcmtk', 'storescp'), args, { stdio: 'ignore' });
  const pacs = pacsAt(port);
  await until(async () => await echo({ pacs, callingAe: CALLING }), { what: 'storescp answers C-ECHO' });
  return pacs;
}

interface Sample extends OutgoingInstance {
  readonly bytes: Buffer;
}

function sample(
  number: number,
  transferSyntaxUid: string,
  build: (identity: typeof IDENTITY) => Buffer,
): Sample {
  const sopInstanceUid = `2.25.77${number}`;
  const bytes = build({ ...IDENTITY, sopInstanceUid });
  return {
    sopClassUid: IDENTITY.sopClassUid,
    sopInstanceUid,
    transferSyntaxUid,
    sizeBytes: bytes.length,
    bytes,
    async *open() {
      yield bytes;
    },
  };
}

const native = (number: number, uid: string, encoding: BuildEncoding) =>
  sample(number, uid, (identity) => dataSet(encoding, undefined, identity));
const encapsulated = (number: number, uid: string, ...fragments: Buffer[]) =>
  sample(number, uid, (identity) => dataSet('explicit-le', encapsulatedPixels(fragments), identity));
const evenly = (bytes: Buffer) => (bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]));

const IMPLICIT = '1.2.840.10008.1.2';
const EXPLICIT = '1.2.840.10008.1.2.1';
/** Not images that decode; what matters is that not one byte changes. */
const SAMPLES: readonly Sample[] = [
  native(1, IMPLICIT, 'implicit-le'),
  native(2, EXPLICIT, 'explicit-le'),
  native(3, '1.2.840.10008.1.2.2', 'explicit-be'),
  sample(4, '1.2.840.10008.1.2.1.99', (identity) =>
    evenly(deflate(dataSet('explicit-le', undefined, identity))),
  ),
  encapsulated(5, '1.2.840.10008.1.2.4.50', Buffer.alloc(99_998, 3), Buffer.alloc(2, 4)),
  encapsulated(6, '1.2.840.10008.1.2.4.70', Buffer.alloc(16_370, 5)),
  encapsulated(7, '1.2.840.10008.1.2.4.80', Buffer.alloc(0), Buffer.alloc(10, 6)),
  encapsulated(8, '1.2.840.10008.1.2.4.90', Buffer.alloc(300_000, 7)),
  // A fragment of odd length is against the standard, and is sent by devices; it is not ours to mend.
  encapsulated(9, '1.2.840.10008.1.2.4.91', Buffer.alloc(777, 8), Buffer.alloc(779, 8)),
  encapsulated(10, '1.2.840.10008.1.2.5', Buffer.alloc(64, 9)),
  sample(11, EXPLICIT, (identity) =>
    dataSet('explicit-le', element('explicit-le', 0x7fe00010, 'OW', Buffer.alloc(3_000_000, 1)), identity),
  ),
];

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

async function send(pacs: ReturnType<typeof pacsAt>, instances: readonly Sample[]) {
  const outcomes: StoreOutcome[] = [];
  await storeInstances({
    pacs,
    callingAe: CALLING,
    instances,
    onOutcome: (outcome) => void outcomes.push(outcome),
  });
  return outcomes;
}

/** SOP Instance UID → SHA-256 of the data set that storescp wrote. */
async function written(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of await readdir(folder)) {
    const bytes = await readFile(join(folder, name));
    const meta = parseFileMeta(bytes);
    if (meta !== undefined) found.set(meta.sopInstanceUid, sha256(bytes.subarray(meta.dataSetOffset)));
  }
  return found;
}

describeWith('dcmtk', 'storescp', () => {
  it('an association that has failed refuses what is asked of it at once, and no timer waits for an answer', async () => {
    const leaving = new AbortController();
    const association = await openScuAssociation({
      pacs: await startStorescp(),
      callingAe: CALLING,
      contexts: [{ sopClassUid: '1.2.840.10008.1.1', transferSyntaxUid: '1.2.840.10008.1.2' }],
      signal: leaving.signal,
    });
    leaving.abort();
    const timers = () => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
    const before = timers();
    await expect(association.echo(3_600_000)).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(timers()).toBeLessThanOrEqual(before);
  });

  it('one SOP class or transfer syntax not taken: refused by name, the others arrive', async () => {
    const pacs = await startStorescp('+xi');
    const outcomes = await send(pacs, SAMPLES);
    const results = new Map(outcomes.map(({ sopInstanceUid, result }) => [sopInstanceUid, result]));
    expect(outcomes).toHaveLength(SAMPLES.length);
    for (const { sopInstanceUid, transferSyntaxUid } of SAMPLES) {
      expect(results.get(sopInstanceUid)).toBe(transferSyntaxUid === IMPLICIT ? 'stored' : 'refused');
    }
    expect(outcomes[1]?.error?.message).toMatch(/CT Image Storage in Explicit VR Little Endian/);
  });

  it('a data set of odd length, over which DCMTK stumbles: it alone is unanswered', async () => {
    const pacs = await startStorescp('+xa');
    const odd = encapsulated(99, '1.2.840.10008.1.2.4.91', Buffer.alloc(777, 8));
    const outcomes = await send(
      pacs,
      [SAMPLES[0], odd, SAMPLES[1]].filter((one) => one !== undefined),
    );
    expect(outcomes.map(({ result }) => result)).toEqual(['stored', 'unanswered', 'stored']);
  });

  it.each([4096, 16_384, 131_072])(
    'every transfer syntax arrives bit for bit, in PDUs of %i bytes',
    async (maxPduBytes) => {
      const pacs = await startStorescp('+xa', '-pdu', String(maxPduBytes));
      const outcomes = await send(pacs, SAMPLES);
      expect(outcomes.map(({ result }) => result)).toEqual(SAMPLES.map(() => 'stored'));
      const expected = new Map(SAMPLES.map(({ sopInstanceUid, bytes }) => [sopInstanceUid, sha256(bytes)]));
      expect(await written()).toEqual(expected);
      expect(new Map(outcomes.map((o) => [o.sopInstanceUid, o.sha256]))).toEqual(expected);
    },
  );
});

describeWith('orthanc', 'Orthanc', () => {
  it('takes what it can decode and knows each instance afterwards', {
    timeout: ORTHANC_SECONDS * 1000,
  }, async () => {
    const [dicomPort, httpPort] = [await freePort(), await freePort()];
    const config = join(folder, 'orthanc.json');
    await writeFile(
      config,
      JSON.stringify({
        Name: 'test',
        StorageDirectory: folder,
        IndexDirectory: folder,
        DicomAet: 'PACS',
        DicomPort: dicomPort,
        HttpPort: httpPort,
        RemoteAccessAllowed: false,
        AuthenticationEnabled: false,
        DicomAlwaysAllowEcho: true,
        DicomAlwaysAllowStore: true,
        Plugins: [],
      }),
    );
    pacsProcess = spawn(tool('orthanc'), [config], { stdio: 'ignore' });
    const pacs = pacsAt(dicomPort);
    await until(() => echo({ pacs, callingAe: CALLING }), { timeoutMs: ORTHANC_SECONDS * 500 });

    const instances = SAMPLES.slice(0, 4);
    const outcomes = await send(pacs, instances);
    expect(outcomes.map(({ result }) => result)).toEqual(instances.map(() => 'stored'));

    const answer = await fetch(`http://127.0.0.1:${httpPort}/instances?expand`);
    const known = (await answer.json()) as { MainDicomTags: { SOPInstanceUID: string } }[];
    expect(known.map((instance) => instance.MainDicomTags.SOPInstanceUID).sort()).toEqual(
      instances.map(({ sopInstanceUid }) => sopInstanceUid).sort(),
    );
    // The same again: a PACS that has it already must not turn a repetition into a failure.
    const again = await send(pacs, instances);
    expect(again.every(({ result }) => result === 'stored' || result === 'warning')).toBe(true);
  });
});

/**
 * A kit of associations that are wrong somewhere, each against the whole intake on a real disk. Whatever the peer did:
 * it is answered or dropped, the next C-ECHO and C-STORE succeed on a new association, and nothing half-written or
 * misnamed is listed or left.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Scp, startScp } from '../../src/dimse/scp.js';
import { systemClock } from '../../src/domain/clock.js';
import { silentLog } from '../../src/observe/log.js';
import { createFeeding } from '../../src/outbound/feeding.js';
import { createIntake } from '../../src/outbound/intake.js';
import { createSpool } from '../../src/spool/envelope-store.js';
import { createLayout, type Layout } from '../../src/spool/layout.js';
import { openStudyStore, type StudyStore } from '../../src/spool/study-store.js';
import { type Caller, dial, echo } from '../integration/dimse-scp-caller.js';
import { until } from '../support/until.js';
import {
  type Associate,
  associateRequest,
  COMMAND,
  CT,
  commandSet,
  ctDataSet,
  DEFLATED,
  dataPdu,
  EXPLICIT,
  element,
  INSTANCE,
  item,
  LAST,
  MAXIMUM_LENGTH,
  pdu,
  short,
  storeCommand,
  VERIFICATION,
} from './support/raw-dicom.js';

const MAX_INSTANCE_BYTES = 1024 * 1024;
/** 1.2.… with 65 characters. */
const UID_65 = `1.2.${'3'.repeat(61)}`;
const RELEASE = pdu(5, Buffer.alloc(4));
const ABORT = pdu(7, Buffer.alloc(4));

let folder: string;
let layout: Layout;
let studies: StudyStore;
let scp: Scp;
let opened = 0;
let closed = 0;
let callers: Caller[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-kit-'));
  layout = createLayout(join(folder, 'data'));
  await createSpool(layout);
  studies = await openStudyStore(layout);
  const intake = createIntake({
    studies,
    feeding: createFeeding(),
    clock: systemClock,
    log: silentLog,
    arrived: () => undefined,
  });
  scp = await startScp({
    host: '127.0.0.1',
    port: 0,
    policy: { calledAes: ['DRAWBRIDGE'], callers: [], anyCaller: true, privateSopClasses: [] },
    handler: {
      ...intake,
      associationOpened: () => {
        opened += 1;
      },
      associationClosed: (association) => {
        closed += 1;
        intake.associationClosed?.(association);
      },
    },
    log: silentLog,
    idleTimeoutMs: 10_000,
    acceptTimeoutMs: 10_000,
    maxAssociations: 10,
    maxAssociationsPerCaller: 10,
    maxPduBytes: 16_384,
    maxInstanceBytes: MAX_INSTANCE_BYTES,
  });
});
afterAll(async () => {
  await scp?.close(0);
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  for (const { socket } of callers) socket.destroy();
  callers = [];
  await until(() => opened === closed, { what: 'every association is over' });
  await expectServedAsBefore();
});

/** A new association stores, and all that lies on the disk was stored by such ones. */
const good = new Set<string>();
async function expectServedAsBefore(): Promise<void> {
  await echo(scp.port);
  const sopInstanceUid = `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`;
  const caller = await associated();
  caller.send(
    dataPdu({ control: COMMAND | LAST, bytes: storeCommand({ sopInstanceUid }) }),
    dataPdu({ control: LAST, bytes: ctDataSet({ sopInstanceUid }) }),
  );
  await until(() => caller.statuses().length === 1, { what: 'the C-STORE that follows is answered' });
  expect(caller.statuses()).toEqual([0]);
  caller.send(RELEASE);
  await until(() => caller.received().at(-10) === 6, { what: 'A-RELEASE-RP' });
  caller.socket.end();
  await caller.ended;
  good.add(`${sopInstanceUid}.dcm`);

  expect(await readdir(layout.incoming)).toEqual(expect.not.arrayContaining([expect.stringMatching(/dcm$/)]));
  const onDisk = await readdir(layout.studies, { recursive: true });
  const instances = onDisk
    .filter((name) => name.endsWith('.dcm'))
    .map((name) => name.split('/').at(-1) ?? '');
  expect(new Set(instances)).toEqual(good);
  const listed = studies.gathering().flatMap((study) => [...study.instances.keys()]);
  expect(new Set(listed.map((uid) => `${uid}.dcm`))).toEqual(good);
  expect(await readdir(folder)).toEqual(['data']);
}

async function call(): Promise<Caller> {
  const caller = await dial(scp.port);
  callers.push(caller);
  return caller;
}

async function associated(wish: Associate = {}): Promise<Caller> {
  const caller = await call();
  caller.send(associateRequest(wish));
  await until(() => caller.received()[0] === 2, { what: 'A-ASSOCIATE-AC' });
  return caller;
}

/** The last PDU that the peer got before its connection ended, by its type; undefined: none. */
async function lastWord(caller: Caller): Promise<number | undefined> {
  await caller.ended;
  const received = caller.received();
  let type: number | undefined;
  for (let at = 0; at + 6 <= received.length; at += 6 + received.readUInt32BE(at + 2)) type = received[at];
  return type;
}

const ASSOCIATE_REJECT = 3;
const A_ABORT = 7;

describe('a connection that begins with', () => {
  it.each<[string, Buffer]>([
    ['a C-STORE', dataPdu({ control: COMMAND | LAST, bytes: storeCommand() })],
    ['A-RELEASE-RQ', RELEASE],
    ['A-ASSOCIATE-AC', pdu(2, Buffer.alloc(68))],
    ['a PDU of type 0', pdu(0, Buffer.alloc(4))],
    ['a PDU of type 8', pdu(8, Buffer.alloc(4))],
    ['a PDU of type 255', pdu(255)],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a TLS ClientHello', Buffer.from('16030100a5010000a10303', 'hex')],
    ['A-ASSOCIATE-RQ of 4 GiB', Buffer.from([1, 0, 0xff, 0xff, 0xff, 0xff])],
    ['A-ASSOCIATE-RQ of no bytes', pdu(1)],
    ['A-ASSOCIATE-RQ that ends within its fixed fields', pdu(1, Buffer.alloc(67))],
    ['A-ASSOCIATE-RQ of zeros', pdu(1, Buffer.alloc(1000))],
    [
      'an item that is longer than its PDU',
      associateRequest({ more: [item(0x20, Buffer.alloc(4), 60_000)] }),
    ],
    [
      'a presentation context that ends in its header',
      associateRequest({ more: [item(0x20, Buffer.from([5]))] }),
    ],
    [
      'a user item that is longer than the user information',
      associateRequest({ userItems: [item(0x51, Buffer.from([0, 0, 0x40, 0]), 9_000)] }),
    ],
    ['a maximum length of two bytes', associateRequest({ userItems: [item(0x51, Buffer.from([0x40, 0]))] })],
    [
      'role selection whose UID length lies',
      associateRequest({ userItems: [MAXIMUM_LENGTH, item(0x54, Buffer.from([0xff, 0xff, 0x31, 0, 1]))] }),
    ],
    [
      'user identity whose lengths lie',
      associateRequest({ userItems: [MAXIMUM_LENGTH, item(0x58, Buffer.from([1, 0, 0xff, 0xff, 0x31]))] }),
    ],
  ])('%s is refused or dropped', async (_title, bytes) => {
    const caller = await call();
    caller.send(bytes);
    expect([undefined, ASSOCIATE_REJECT, A_ABORT]).toContain(await lastWord(caller));
  });

  it('A-ABORT is let go', async () => {
    const caller = await call();
    caller.send(ABORT);
    await caller.ended;
  });

  it.each<[string, Associate]>([
    ['another protocol version', { protocolVersion: 2 }],
    ['another application context', { applicationContext: item(0x10, Buffer.from('1.2.3.4')) }],
    ['no application context', { applicationContext: Buffer.alloc(0) }],
    ['a called AE title with control characters', { calledAe: 'DRAW\u0000\u001bBRIDGE' }],
    ['an empty called AE title', { calledAe: '' }],
    ['the called AE title in small letters', { calledAe: 'drawbridge' }],
  ])('%s is rejected', async (_title, wish) => {
    const caller = await call();
    caller.send(associateRequest(wish));
    expect(await lastWord(caller)).toBe(ASSOCIATE_REJECT);
  });

  it.each<[string, Associate]>([
    ['no presentation context', { contexts: [] }],
    ['a context without transfer syntaxes', { contexts: [{ id: 1, transferSyntaxes: [] }] }],
    ['a context with an even id', { contexts: [{ id: 2 }] }],
    ['two contexts of one id', { contexts: [{ id: 1 }, { id: 1, abstractSyntax: VERIFICATION }] }],
    ['an abstract syntax that climbs', { contexts: [{ id: 1, abstractSyntax: '../../../etc/passwd' }] }],
    ['an abstract syntax of 65 characters', { contexts: [{ id: 1, abstractSyntax: UID_65 }] }],
    ['an abstract syntax with NUL inside', { contexts: [{ id: 1, abstractSyntax: '1.2\u0000.3' }] }],
    [
      'a thousand presentation contexts',
      {
        contexts: Array.from({ length: 1000 }, (_, at) => ({
          id: (2 * at + 1) % 256,
          transferSyntaxes: [EXPLICIT],
        })),
      },
    ],
    [
      'a thousand transfer syntaxes',
      { contexts: [{ id: 1, transferSyntaxes: Array.from({ length: 1000 }, (_, at) => `1.2.${at}`) }] },
    ],
    ['a calling AE title of control characters', { callingAe: '\u0001\u0002\u001b[31m\n' }],
    ['a calling AE title of spaces', { callingAe: '' }],
    ['a maximum length of 0', { userItems: [item(0x51, Buffer.alloc(4))] }],
    ['a maximum length of 1', { userItems: [item(0x51, Buffer.from([0, 0, 0, 1]))] }],
    ['a maximum length of 4 GiB', { userItems: [item(0x51, Buffer.alloc(4, 0xff))] }],
    ['no user information', { userItems: [] }],
    ['user items that nobody knows', { userItems: [MAXIMUM_LENGTH, item(0x7f, Buffer.alloc(3000))] }],
    [
      'two asynchronous operations windows',
      { userItems: [MAXIMUM_LENGTH, item(0x53, Buffer.alloc(4)), item(0x53, Buffer.alloc(4))] },
    ],
  ])('%s is answered in one way or another', async (_title, wish) => {
    const caller = await call();
    caller.send(associateRequest(wish));
    await until(() => caller.received().length > 0, { what: 'an answer' });
    expect([2, ASSOCIATE_REJECT, A_ABORT]).toContain(caller.received()[0]);
    caller.send(RELEASE);
    await until(() => caller.received().at(-10) === 6 || caller.socket.closed || caller.received()[0] !== 2, {
      what: 'the end',
    });
  });
});

describe('an association on which comes', () => {
  const store = dataPdu({ control: COMMAND | LAST, bytes: storeCommand() });
  it.each<[string, readonly Buffer[]]>([
    ['a second A-ASSOCIATE-RQ', [associateRequest()]],
    ['A-ASSOCIATE-AC', [pdu(2, Buffer.alloc(68))]],
    ['a PDU of type 9', [pdu(9)]],
    ['a PDU larger than was agreed', [pdu(4, Buffer.alloc(20_000))]],
    ['A-RELEASE-RQ of 4 GiB', [Buffer.from([5, 0, 0xff, 0xff, 0xff, 0xff])]],
    ['a fragment of length 0', [dataPdu({ control: COMMAND | LAST, bytes: Buffer.alloc(0), length: 0 })]],
    ['a fragment of length 1', [dataPdu({ control: COMMAND | LAST, bytes: Buffer.alloc(0), length: 1 })]],
    [
      'a fragment that is longer than its PDU',
      [dataPdu({ control: COMMAND | LAST, bytes: Buffer.alloc(8), length: 999 })],
    ],
    [
      'a fragment of 4 GiB',
      [dataPdu({ control: COMMAND | LAST, bytes: Buffer.alloc(8), length: 0xffffffff })],
    ],
    ['half a fragment header', [pdu(4, Buffer.alloc(3)), pdu(4, Buffer.alloc(3))]],
    ['a data set without a command', [dataPdu({ control: LAST, bytes: ctDataSet() })]],
    [
      'a command of a context that was never proposed',
      [dataPdu({ contextId: 77, control: COMMAND | LAST, bytes: storeCommand() })],
    ],
    ['a command of context 0', [dataPdu({ contextId: 0, control: COMMAND | LAST, bytes: storeCommand() })]],
    [
      'a data set of another context than its command',
      [store, dataPdu({ contextId: 3, control: LAST, bytes: ctDataSet() })],
    ],
    [
      'a data set within its command',
      [
        dataPdu(
          { control: COMMAND, bytes: storeCommand().subarray(0, 40) },
          { control: LAST, bytes: ctDataSet() },
        ),
      ],
    ],
    [
      'a command within a data set',
      [store, dataPdu({ control: 0, bytes: ctDataSet().subarray(0, 20) }), store],
    ],
    [
      'a command that is no command set',
      [dataPdu({ control: COMMAND | LAST, bytes: Buffer.alloc(40, 0x41) })],
    ],
    [
      'a command without a command field',
      [dataPdu({ control: COMMAND | LAST, bytes: commandSet(element(0, 0x0002, CT)) })],
    ],
    ['a command of no bytes', [dataPdu({ control: COMMAND | LAST, bytes: Buffer.alloc(0) })]],
    [
      'a command whose element is longer than it',
      [dataPdu({ control: COMMAND | LAST, bytes: commandSet(element(0, 0x0002, CT, 60_000)) })],
    ],
    [
      'a command with a data element',
      [dataPdu({ control: COMMAND | LAST, bytes: commandSet(element(8, 0x18, INSTANCE)) })],
    ],
    [
      'a command without end',
      Array.from({ length: 20 }, () => dataPdu({ control: COMMAND, bytes: Buffer.alloc(16_000) })),
    ],
    [
      'a C-STORE-RSP',
      [dataPdu({ control: COMMAND | LAST, bytes: storeCommand({ field: 0x8001, dataSetType: 0x0101 }) })],
    ],
    [
      'release in the middle of a data set',
      [store, dataPdu({ control: 0, bytes: ctDataSet().subarray(0, 20) }), RELEASE],
    ],
    [
      'abort in the middle of a data set',
      [store, dataPdu({ control: 0, bytes: ctDataSet().subarray(0, 20) }), ABORT],
    ],
  ])('%s ends, and nothing is kept', async (_title, sent) => {
    const caller = await associated();
    caller.send(...sent);
    await caller.ended;
    expect(caller.statuses().filter((status) => status === 0)).toEqual([]);
  });

  it.each<[string, Buffer, Buffer]>([
    ['whose SOP Instance UID climbs', storeCommand({ sopInstanceUid: '../../../../tmp/x' }), ctDataSet()],
    ['whose SOP Instance UID is absolute', storeCommand({ sopInstanceUid: '/etc/passwd' }), ctDataSet()],
    [
      'whose SOP Instance UID holds NUL',
      storeCommand({ sopInstanceUid: '1.2\u0000.3' }),
      ctDataSet({ sopInstanceUid: '1.2\u0000.3' }),
    ],
    [
      'whose SOP Instance UID has 65 characters',
      storeCommand({ sopInstanceUid: UID_65 }),
      ctDataSet({ sopInstanceUid: UID_65 }),
    ],
    [
      'whose SOP Instance UID is empty',
      storeCommand({ sopInstanceUid: '' }),
      ctDataSet({ sopInstanceUid: '' }),
    ],
    ['without a SOP Instance UID', storeCommand({ sopInstanceUid: undefined }), ctDataSet()],
    ['of another instance than its data set', storeCommand({ sopInstanceUid: '1.2.3.4' }), ctDataSet()],
    [
      'of another class than its data set',
      storeCommand(),
      ctDataSet({ sopClassUid: '1.2.840.10008.5.1.4.1.1.4' }),
    ],
    [
      'of another class than its context',
      storeCommand({ sopClassUid: '1.2.840.10008.5.1.4.1.1.4' }),
      ctDataSet({ sopClassUid: '1.2.840.10008.5.1.4.1.1.4' }),
    ],
    ['of no bytes', storeCommand(), Buffer.alloc(0)],
    ['of noise', storeCommand(), Buffer.alloc(10_000, 0xa5)],
    ['of much noise', storeCommand(), Buffer.alloc(40_000, 0xa5)],
    ['of zeros', storeCommand(), Buffer.alloc(10_000)],
    ['that ends in the middle of an element', storeCommand(), ctDataSet().subarray(0, -7)],
    ['without a Study Instance UID', storeCommand(), ctDataSet({ studyInstanceUid: undefined })],
    ['whose Study Instance UID is empty', storeCommand(), ctDataSet({ studyInstanceUid: '' })],
    ['whose Study Instance UID climbs', storeCommand(), ctDataSet({ studyInstanceUid: '../../../../tmp/x' })],
    ['whose Study Instance UID has 65 characters', storeCommand(), ctDataSet({ studyInstanceUid: UID_65 })],
    ['whose Study Instance UID holds NUL', storeCommand(), ctDataSet({ studyInstanceUid: '1.2\u0000.3' })],
    [
      'with an element of 4 GiB before its study',
      storeCommand(),
      Buffer.concat([element(0x0008, 0x0005, '', 0xfffffff0), ctDataSet()]),
    ],
    [
      'with sequences in sequences without end',
      storeCommand(),
      Buffer.concat(
        Array.from({ length: 20_000 }, () => [
          element(0x0008, 0x1110, '', 0xffffffff),
          element(0xfffe, 0xe000, '', 0xffffffff),
        ]).flat(),
      ),
    ],
    ['that is larger than the limit', storeCommand(), Buffer.alloc(MAX_INSTANCE_BYTES + 1)],
  ])(
    'an instance %s is refused with a status, and C-ECHO is answered on the same association',
    async (_title, command, dataSet) => {
      const caller = await associated();
      caller.send(dataPdu({ control: COMMAND | LAST, bytes: command }));
      const pieces = Math.max(1, Math.ceil(dataSet.length / 16_000));
      for (let at = 0; at < pieces; at += 1) {
        const bytes = dataSet.subarray(at * 16_000, (at + 1) * 16_000);
        caller.send(dataPdu({ control: at === pieces - 1 ? LAST : 0, bytes }));
      }
      await until(() => caller.statuses().length === 1, { what: 'an answer' });
      expect(caller.statuses()[0]).toBeGreaterThan(0x00ff);
      const request = commandSet(
        element(0, 0x0002, VERIFICATION),
        element(0, 0x0100, short(0x0030)),
        element(0, 0x0110, short(2)),
        element(0, 0x0800, short(0x0101)),
      );
      caller.send(dataPdu({ contextId: 3, control: COMMAND | LAST, bytes: request }));
      await until(() => caller.statuses().length === 2, { what: 'C-ECHO is answered' });
      expect(caller.statuses()[1]).toBe(0);
    },
  );

  it('a deflated data set that inflates to gigabytes is judged by its head alone', async () => {
    const caller = await associated({ contexts: [{ id: 1, transferSyntaxes: [DEFLATED] }] });
    const zeros = Buffer.alloc(64 * 1024 * 1024);
    caller.send(dataPdu({ control: COMMAND | LAST, bytes: storeCommand() }));
    const deflated = deflateRawSync(zeros);
    for (let at = 0; at < deflated.length; at += 16_000) {
      const isLast = at + 16_000 >= deflated.length;
      caller.send(dataPdu({ control: isLast ? LAST : 0, bytes: deflated.subarray(at, at + 16_000) }));
    }
    await until(() => caller.statuses().length === 1, { what: 'an answer' });
    expect(caller.statuses()[0]).toBeGreaterThan(0x00ff);
  });
});

it('a thousand hostile connections leave the memory where it was', async () => {
  const before = memoryUsed();
  for (let turn = 0; turn < 100; turn += 1) {
    const hostile = await Promise.all(Array.from({ length: 10 }, call));
    for (const [at, caller] of hostile.entries()) {
      caller.send(at % 2 === 0 ? Buffer.from([1, 0, 0, 0xff, 0xff, 0xff]) : Buffer.alloc(5000, at));
      caller.socket.end();
    }
    await Promise.all(hostile.map(({ ended }) => ended));
    callers = [];
  }
  expect(memoryUsed() - before).toBeLessThan(64 * 1024 * 1024);
});

function memoryUsed(): number {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

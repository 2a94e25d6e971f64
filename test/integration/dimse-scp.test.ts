/** The C-STORE and C-ECHO SCP with DCMTK as the modality: what arrives is what was sent, and refusals say why. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { type OpenAssociation, type Scp, type ScpOptions, startScp } from '../../src/dimse/scp.js';
import type { AssociationInfo, StoreHandler } from '../../src/dimse/store-scp.js';
import type { ErrorCode } from '../../src/errors/codes.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { silentLog } from '../../src/observe/log.js';
import { readDataSets } from '../support/data-sets.js';
import { dcmsend, echoscu, storescu } from '../support/dcmtk.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';
import { associate, data, echoRequest, RELEASE_REQUEST, storeRequest } from './dimse-scp-caller.js';

const DEFLATED = '1.2.840.10008.1.2.1.99';

interface Arrival {
  readonly sha256: string;
  readonly bytes: number;
  readonly transferSyntaxUid: string;
  readonly callingAe: string;
  readonly associationId: string;
}

let folder: string;
let scp: Scp;
/** By SOP Instance UID. */
const arrivals = new Map<string, Arrival>();
const opened: AssociationInfo[] = [];
const closed: AssociationInfo[] = [];

const hashing: StoreHandler = {
  associationOpened: (association) => opened.push(association),
  associationClosed: (association) => closed.push(association),
  async begin({ sopInstanceUid, transferSyntaxUid, association }) {
    const chunks: Buffer[] = [];
    return {
      write(chunk) {
        chunks.push(Buffer.from(chunk));
      },
      async commit() {
        const { callingAe, id: associationId } = association;
        const all = Buffer.concat(chunks);
        const bytes = all.length;
        const sha256 = createHash('sha256')
          .update(transferSyntaxUid === DEFLATED ? inflateRawSync(all) : all)
          .digest('hex');
        arrivals.set(sopInstanceUid, { sha256, bytes, transferSyntaxUid, callingAe, associationId });
      },
      discard: async () => undefined,
    };
  },
};

const start = async (overrides: Partial<ScpOptions> = {}): Promise<Scp> => {
  scp = await startScp({
    host: '127.0.0.1',
    port: 0,
    policy: {
      calledAes: ['DRAWBRIDGE'],
      callers: [{ aeTitle: 'MODALITY' }, { aeTitle: 'ELSEWHERE', hosts: ['192.0.2.0/24'] }],
      anyCaller: false,
      privateSopClasses: [],
    },
    handler: hashing,
    log: silentLog,
    idleTimeoutMs: 20_000,
    acceptTimeoutMs: 5_000,
    maxAssociations: 10,
    maxAssociationsPerCaller: 10,
    maxPduBytes: 128 * 1024,
    maxInstanceBytes: 1024 ** 3,
    ...overrides,
  });
  return scp;
};

const refusing = (code: ErrorCode): StoreHandler => ({
  begin: () => Promise.reject(new GatewayError(code, 'the handler refuses')),
});

const make = (name: string, wish: Omit<Parameters<typeof makeStudy>[0], 'out'>) =>
  makeStudy({ ...wish, out: join(folder, name) });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-scp-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(() => {
  arrivals.clear();
  opened.length = closed.length = 0;
});
afterEach(() => scp.close(0));

describeWith('dcmtk', 'the SCP refuses', () => {
  it.each([
    ['a calling AE title that is not configured', { calling: 'NOBODY' }, 'Calling AE Title Not Recognized'],
    ['a caller from another network', { calling: 'ELSEWHERE' }, 'Calling AE Title Not Recognized'],
    ['a called AE title that is not ours', { called: 'SOMEONE' }, 'Called AE Title Not Recognized'],
  ])('%s, and DCMTK prints the reason', async (_title, titles, reason) => {
    const refusals: unknown[] = [];
    const { port } = await start({ refused: (refusal) => refusals.push(refusal) });
    const result = await echoscu({ port, ...titles });
    expect(result.code).not.toBe(0);
    expect(result.output).toContain(reason);
    expect([refusals.length, opened.length]).toEqual([1, 0]);
  });

  it('one association too many, and takes the next one when there is room again', async () => {
    const anyone = { calledAes: ['DRAWBRIDGE'], callers: [], anyCaller: true, privateSopClasses: [] };
    const { port } = await start({ maxAssociationsPerCaller: 1, policy: anyone });
    const first = await associate(port);
    const result = await echoscu({ port });
    expect(result.output).toContain('Local Limit Exceeded');
    first.socket.destroy();
    await until(() => scp.associations().length === 0, { what: 'the first one is over' });
    expect((await echoscu({ port })).code).toBe(0);
  });

  it('everything new while the disk is nearly full', async () => {
    const { port } = await start({ admission: () => new GatewayError('SPOOL_ABOVE_WATERMARK', 'full') });
    const result = await echoscu({ port });
    expect(result.output).toContain('Temporary Congestion');
  });

  it.each([
    ['SPOOL_WRITE_FAILED', 0xa700],
    ['SOP_MISMATCH', 0xa900],
    ['DATASET_UNREADABLE', 0xc000],
  ] as const)('an instance with %s, whose status DCMTK shows', async (code, status) => {
    const { port } = await start({ handler: refusing(code) });
    const [instance] = await make(`refused-${code}`, { kind: 'ct', slices: 1, rows: 64 });
    const result = await storescu([instance?.path ?? ''], { port, args: ['-d'] });
    expect(result.output.toLowerCase()).toContain(`0x${status.toString(16)}`);
    expect(scp.associations()).toEqual([]);
  });

  it('an instance whose handler fails while the data set comes, and takes the next ones', async () => {
    let begun = 0;
    let discarded = 0;
    const { port } = await start({
      handler: {
        async begin(instance) {
          begun += 1;
          if (begun > 1) return hashing.begin(instance);
          return {
            write() {
              throw new GatewayError('SPOOL_WRITE_FAILED', 'no');
            },
            commit: () => Promise.reject(new Error('committed all the same')),
            discard: async () => {
              discarded += 1;
            },
          };
        },
      },
    });
    const made = await make('half', { kind: 'ct', slices: 3, rows: 256 });
    const paths = made.map(({ path }) => path);
    await dcmsend(paths, { port, args: ['--no-halt'] });
    expect([discarded, arrivals.size]).toEqual([1, 2]);
  });
});

describeWith('dcmtk', 'the SCP takes', () => {
  it.each([
    ['implicit', '-xi'],
    ['explicit', '-xe'],
    ['big-endian', '-xb'],
    ['rle', '-xr'],
    // DCMTK deflates anew, so what counts here is what comes out of it.
    ['deflated', '-xd'],
  ] as const)('data sets in %s, byte by byte as they are in the file', async (syntax, option) => {
    const { port } = await start();
    const made = [
      ...(await make(`${syntax}-mr`, { kind: 'mr', slices: 2, rows: 96, syntax })),
      ...(await make(`${syntax}-us`, { kind: 'us', slices: 3, rows: 64, syntax })),
    ];
    const paths = made.map(({ path }) => path);
    expect(await storescu(paths, { port, args: [option] })).toMatchObject({ code: 0 });
    const sent = await readDataSets(paths);
    expect(arrivals.size).toBe(made.length);
    for (const [uid, { sha256, transferSyntaxUid }] of sent) {
      expect(arrivals.get(uid)).toMatchObject({ sha256, transferSyntaxUid, callingAe: 'MODALITY' });
    }
  });

  it('reports and documents beside images', async () => {
    const { port } = await start();
    const made = [...(await make('sr', { kind: 'sr' })), ...(await make('pdf', { kind: 'pdf' }))];
    const paths = made.map(({ path }) => path);
    expect((await dcmsend(paths, { port })).code).toBe(0);
    for (const [uid, { sha256 }] of await readDataSets(paths)) {
      expect(arrivals.get(uid)?.sha256).toBe(sha256);
    }
  });

  it('an instance of many PDUs, at the smallest and at the largest PDU length', async () => {
    const [large] = await make('large', { kind: 'ct', slices: 1, rows: 1024 });
    const path = large?.path ?? '';
    const sent = await readDataSets([path]);
    for (const maxPduBytes of [4096, 1024 * 1024]) {
      await start({ maxPduBytes });
      expect((await storescu([path], { port: scp.port })).code).toBe(0);
      const [uid, facts] = [...sent][0] ?? ['', undefined];
      expect(arrivals.get(uid)?.sha256).toBe(facts?.sha256);
      arrivals.clear();
      await scp.close(0);
    }
  });

  it('four associations at once, each with its own instances', async () => {
    const { port } = await start();
    const studies = await Promise.all(
      [1, 2, 3, 4].map((seed) => make(`four-${seed}`, { kind: 'ct', seed, slices: 6, rows: 128 })),
    );
    const results = await Promise.all(
      studies.map((made) =>
        storescu(
          made.map(({ path }) => path),
          { port },
        ),
      ),
    );
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const sent = await readDataSets(studies.flat().map(({ path }) => path));
    for (const [uid, { sha256 }] of sent) expect(arrivals.get(uid)?.sha256).toBe(sha256);
    expect(new Set([...arrivals.values()].map(({ associationId }) => associationId)).size).toBe(4);
    await until(() => closed.length === 4, { what: 'all four are closed' });
    expect(new Set(closed.map(({ id }) => id))).toEqual(new Set(opened.map(({ id }) => id)));
  });
});

const TRIALS = { calledAes: ['DRAWBRIDGE'], callers: [], anyCaller: true, privateSopClasses: [] };

it('C-ECHO, C-STORE and C-ECHO again are answered on one association, which ends with a release', async () => {
  const { port } = await start({ policy: TRIALS });
  const caller = await associate(port);
  caller.send(echoRequest(1));
  await until(() => caller.statuses().length === 1, { what: 'the first echo' });
  caller.send(storeRequest('1.2.3.4', 2), data(Buffer.from('data'), true));
  await until(() => caller.statuses().length === 2, { what: 'the store' });
  caller.send(echoRequest(3));
  await until(() => caller.statuses().length === 3, { what: 'the second echo' });
  caller.send(RELEASE_REQUEST);
  await until(() => caller.received().at(-10) === 6, { what: 'A-RELEASE-RP' });
  await caller.ended;
  expect(caller.statuses()).toEqual([0, 0, 0]);
  expect(arrivals.get('1.2.3.4')?.bytes).toBe(4);
  await until(() => closed.length === 1, { what: 'the association is closed' });
});

it('a sink that waits makes the sender wait: what it has not taken stays with the sender', async () => {
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let taken = 0;
  let writes = 0;
  const { port } = await start({
    policy: TRIALS,
    handler: {
      begin: async () => ({
        write(chunk) {
          taken += chunk.length;
          writes += 1;
          return gate;
        },
        commit: async () => undefined,
        discard: async () => undefined,
      }),
    },
  });
  const caller = await associate(port);
  const piece = Buffer.alloc(16 * 1024);
  const total = 64 * 1024 * 1024;
  caller.send(storeRequest());
  for (let sent = 0; sent < total; sent += piece.length) {
    caller.send(data(piece, sent + piece.length === total));
  }
  // Once the kernel's buffers on both sides are full, nothing moves: what is left waits in the sender.
  let left = -1;
  await until(
    () => {
      const before = left;
      left = caller.socket.writableLength;
      return writes === 1 && before === left;
    },
    { what: 'the sender is stopped', everyMs: 200 },
  );
  expect(writes).toBe(1);
  expect(left).toBeGreaterThan(total / 4);
  open();
  await until(() => caller.statuses().length === 1, { what: 'the store is answered' });
  expect([taken, caller.statuses()[0]]).toEqual([total, 0]);
  caller.socket.destroy();
});

it('an open association is shown with what it has sent; a close lets it end, and lets nobody in', async () => {
  const { port } = await start({ policy: TRIALS });
  const caller = await associate(port);
  caller.send(storeRequest(), data(Buffer.alloc(100), true));
  await until(() => caller.statuses().length === 1, { what: 'the store is answered' });
  const shown: Partial<OpenAssociation> | undefined = scp.associations()[0];
  expect(shown).toMatchObject({ callingAe: 'CT1', calledAe: 'DRAWBRIDGE', instanceCount: 1, bytes: 100 });
  const closing = scp.close(10_000);
  await expect(associate(port)).rejects.toThrow();
  caller.send(storeRequest('1.2.3.5', 2), data(Buffer.alloc(10), true));
  await until(() => caller.statuses().length === 2, { what: 'the last store is answered' });
  caller.send(RELEASE_REQUEST);
  await caller.ended;
  await closing;
  expect(arrivals.size).toBe(2);
});

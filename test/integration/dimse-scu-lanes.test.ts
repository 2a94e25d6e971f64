/** What a PACS's own settings ask of the C-STORE SCU: windows, associations side by side, kept ones, users, callers. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { CalledPacs } from '../../src/dimse/scu-connection.js';
import { createScuPool, type ScuPool } from '../../src/dimse/scu-pool.js';
import {
  type OutgoingInstance,
  type StoreOutcome,
  type StoreScuOptions,
  storeInstances,
} from '../../src/dimse/store-scu.js';
import { readUserItems } from '../../src/dimse/user-items.js';
import { parseAeTitle } from '../../src/domain/ae-title.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { until } from '../support/until.js';
import {
  type Arrived,
  accept,
  callingAeOf,
  PDU,
  type Pdu,
  type PeerConnection,
  type Proposed,
  pdu,
  receiveStore,
  respond,
  type Script,
  type ScriptedPeer,
  startPeer,
  storingScript,
} from './dimse-scu-peer.js';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const MR = '1.2.840.10008.5.1.4.1.1.4';
const IMPLICIT = '1.2.840.10008.1.2';
const EXPLICIT = '1.2.840.10008.1.2.1';
const JPEG = '1.2.840.10008.1.2.4.50';
const VERIFICATION = '1.2.840.10008.1.1';
const CALLING = parseAeTitle('BRIDGE');

let peer: ScriptedPeer | undefined;
let pool: ScuPool | undefined;
afterEach(async () => {
  await pool?.close();
  await peer?.close();
  peer = undefined;
  pool = undefined;
});

const peerThat = async (script: Script): Promise<ScriptedPeer> => {
  peer = await startPeer(script);
  return peer;
};

const sample = (number: number, overrides: Partial<OutgoingInstance> = {}): OutgoingInstance => {
  const bytes = Buffer.alloc(100 + number, number);
  return {
    sopClassUid: CT,
    sopInstanceUid: `2.25.${number}`,
    transferSyntaxUid: EXPLICIT,
    sizeBytes: bytes.length,
    async *open() {
      yield bytes;
    },
    ...overrides,
  };
};
const samples = (count: number, overrides: Partial<OutgoingInstance> = {}) =>
  Array.from({ length: count }, (_, at) => sample(at + 1, overrides));
const sha256 = (number: number) =>
  createHash('sha256')
    .update(Buffer.alloc(100 + number, number))
    .digest('hex');

async function send(
  pacs: CalledPacs,
  instances: readonly OutgoingInstance[],
  overrides: Partial<StoreScuOptions> = {},
) {
  const outcomes: StoreOutcome[] = [];
  const summary = await storeInstances({
    pacs,
    callingAe: CALLING,
    instances,
    associationTimeoutMs: 5_000,
    responseTimeoutMs: 5_000,
    onOutcome: (outcome) => void outcomes.push(outcome),
    ...overrides,
  });
  const results = outcomes.map(({ result }) => result);
  return { outcomes, results, summary, byUid: new Map(outcomes.map((each) => [each.sopInstanceUid, each])) };
}

/** Accepts, and hands over the connection with the body of the request. */
async function accepted(
  connection: PeerConnection,
  options: Parameters<typeof accept>[1] = {},
): Promise<Pdu> {
  const request = await connection.receive();
  if (request === undefined) throw new Error('no request');
  connection.send(accept(request.body, options));
  return request;
}

async function receiveStores(connection: PeerConnection, count: number): Promise<Arrived[]> {
  const arrived: Arrived[] = [];
  while (arrived.length < count) {
    const store = await receiveStore(connection);
    if (store === undefined) throw new Error('no C-STORE');
    arrived.push(store);
  }
  return arrived;
}

const releasing = async (connection: PeerConnection) => {
  await connection.receive();
  connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
};

describe('several C-STOREs outstanding', () => {
  it('answers in any order: each instance gets its own', async () => {
    const statuses = [0x0000, 0xa900, 0xb000];
    const { pacs } = await peerThat(async (connection) => {
      await accepted(connection, { asyncOperations: 3 });
      const arrived = await receiveStores(connection, 3);
      for (const at of [2, 0, 1]) {
        const store = arrived[at];
        if (store !== undefined) connection.send(respond(store.command, statuses[at]));
      }
      await releasing(connection);
    });
    const { byUid, summary } = await send({ ...pacs, asyncOperations: 3 }, samples(3));
    expect([1, 2, 3].map((number) => byUid.get(`2.25.${number}`)?.status)).toEqual(statuses);
    expect(byUid.get('2.25.3')?.sha256).toBe(sha256(3));
    expect(summary).toMatchObject({ stored: 1, refused: 1, warning: 1, associations: 1 });
  });

  it.each<[string, proposed: number, answered: number | undefined, window: number]>([
    ['PACS that does not answer the proposal', 8, undefined, 1],
    ['PACS that allows fewer', 8, 2, 2],
    ['PACS that allows more than was proposed', 2, 50, 2],
    ['PACS without a limit', 4, 0, 4],
    ['nothing proposed', 1, 5, 1],
  ])('%s: the window is kept', async (_name, proposed, answered, window) => {
    let most = 0;
    let asked: number | undefined;
    const { pacs } = await peerThat(async (connection) => {
      const request = await accepted(connection, answered === undefined ? {} : { asyncOperations: answered });
      asked = readUserItems(pdu(1, request.body)).asyncOperations?.invoked;
      for (let left = 12; left > 0; ) {
        const arrived = await receiveStores(connection, Math.min(window, left));
        // More than the window would lie in the socket by now.
        await new Promise((resolve) => setImmediate(resolve));
        most = Math.max(most, arrived.length + (connection.socket.readableLength > 0 ? 1 : 0));
        for (const { command } of arrived) connection.send(respond(command, 0));
        left -= arrived.length;
      }
      await releasing(connection);
    });
    const { summary } = await send({ ...pacs, asyncOperations: proposed }, samples(12));
    expect(summary.stored).toBe(12);
    expect(most).toBe(window);
    expect(asked ?? 1).toBe(proposed);
  });

  it('PACS that breaks with three outstanding: these are unanswered, the rest goes on', async () => {
    const { pacs } = await peerThat(async (connection, number) => {
      await accepted(connection, { asyncOperations: 3 });
      const arrived = await receiveStores(connection, 3);
      if (number === 1) {
        connection.socket.end();
        return;
      }
      for (const { command } of arrived) connection.send(respond(command, 0));
      await releasing(connection);
    });
    const { byUid, summary } = await send({ ...pacs, asyncOperations: 3 }, samples(6));
    expect(summary).toMatchObject({ stored: 3, unanswered: 3, associations: 2 });
    const lost = ['2.25.1', '2.25.2', '2.25.3'].map((uid) => byUid.get(uid)?.error?.code);
    expect(lost).toEqual(Array.from({ length: 3 }, () => 'STORE_UNANSWERED'));
  });

  it('a file that breaks off while others are outstanding: it alone has failed', async () => {
    const stored: number[] = [];
    const { pacs } = await peerThat(async (connection, number) => {
      await accepted(connection, { asyncOperations: 4 });
      for (;;) {
        const arrived = await receiveStore(connection);
        if (arrived === undefined) return connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
        // The first association answers nothing: what was outstanding on it must come again.
        if (number === 1) continue;
        stored.push(arrived.dataSet.readUInt8(0));
        connection.send(respond(arrived.command, 0));
      }
    });
    const broken = sample(2, {
      sizeBytes: 5_000,
      async *open() {
        yield Buffer.alloc(1_000);
        yield Buffer.alloc(1_000);
      },
    });
    const { byUid } = await send({ ...pacs, asyncOperations: 4 }, [sample(1), broken, sample(3)]);
    expect(byUid.get('2.25.2')).toMatchObject({ result: 'unanswered', error: { code: 'SPOOL_CORRUPT' } });
    expect(stored.sort()).toEqual([1, 3]);
    expect(byUid.size).toBe(3);
  });

  it('an answer to what was not asked: the association is given up, not believed', async () => {
    const { pacs } = await peerThat(async (connection, number) => {
      await accepted(connection);
      const [store] = await receiveStores(connection, 1);
      if (store === undefined) return;
      if (number === 2) {
        connection.send(respond(store.command, 0));
        return releasing(connection);
      }
      const answer = respond(store.command, 0);
      // Message ID Being Responded To (0000,0120).
      answer.writeUInt16LE(4_711, answer.indexOf(Buffer.from([0, 0, 0x20, 0x01, 2, 0, 0, 0])) + 8);
      connection.send(answer);
    });
    const { results } = await send(pacs, samples(2));
    expect(results).toEqual(['unanswered', 'stored']);
  });
});

describe('several associations', () => {
  it('share the instances of a study: each is sent once', async () => {
    const arrivals = new Map<number, string[]>();
    let open = 0;
    const { pacs } = await peerThat(async (connection, number) => {
      await accepted(connection);
      open += 1;
      // None answers before both are there.
      await until(() => open === 2);
      for (;;) {
        const arrived = await receiveStore(connection);
        if (arrived === undefined) return connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
        arrivals.set(number, [...(arrivals.get(number) ?? []), String(arrived.dataSet.readUInt8(0))]);
        connection.send(respond(arrived.command, 0));
      }
    });
    const { summary, byUid } = await send({ ...pacs, associations: 2 }, samples(40));
    expect(summary).toMatchObject({ stored: 40, associations: 2 });
    expect(byUid.size).toBe(40);
    expect([...arrivals.keys()].sort()).toEqual([1, 2]);
    expect(new Set([...arrivals.values()].flat()).size).toBe(40);
  });

  it('PACS that allows one alone: the study goes over that one', async () => {
    const { pacs } = await peerThat(async (connection, number) => {
      if (number === 1) return storingScript(() => 0)(connection, number);
      await connection.receive();
      connection.send(pdu(PDU.reject, Buffer.from([0, 2, 3, 2])));
    });
    const { summary } = await send({ ...pacs, associations: 3 }, samples(20));
    expect(summary).toMatchObject({ stored: 20, associations: 1 });
  });

  it('PACS that rejects them all: thrown, with no outcome', async () => {
    const { pacs } = await peerThat(async (connection) => {
      await connection.receive();
      connection.send(pdu(PDU.reject, Buffer.from([0, 2, 3, 2])));
    });
    const outcomes: StoreOutcome[] = [];
    const sending = send({ ...pacs, associations: 3 }, samples(20), {
      onOutcome: (outcome) => void outcomes.push(outcome),
    });
    await expect(sending).rejects.toThrow(expect.objectContaining({ code: 'PACS_BUSY' }));
    expect(outcomes).toEqual([]);
  });

  it('one of them breaks: the other goes on, and each instance has one outcome', async () => {
    const { pacs } = await peerThat(async (connection, number) => {
      await accepted(connection);
      if (number === 1) {
        await receiveStores(connection, 1);
        connection.socket.resetAndDestroy();
        return;
      }
      for (;;) {
        const arrived = await receiveStore(connection);
        if (arrived === undefined) return connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
        connection.send(respond(arrived.command, 0));
      }
    });
    const { summary, byUid, outcomes } = await send({ ...pacs, associations: 2 }, samples(20));
    expect(summary).toMatchObject({ stored: 19, unanswered: 1 });
    expect([byUid.size, outcomes.length]).toEqual([20, 20]);
  });
});

describe('associations that are kept open', () => {
  const keeping = (pacs: CalledPacs): CalledPacs => ({ ...pacs, keepOpenMs: 60_000 });

  it('serve the next study, also of another kind that was of use before; released at the end', async () => {
    const proposals: (readonly Proposed[])[] = [];
    const scripted = await peerThat(
      storingScript(() => 0, { seen: (contexts) => void proposals.push(contexts) }),
    );
    pool = createScuPool();
    const pacs = keeping(scripted.pacs);
    const first = await send(pacs, samples(2), { pool });
    const second = await send(pacs, samples(3), { pool });
    // Another kind needs another association, which knows both kinds.
    const third = await send(pacs, samples(1, { sopClassUid: MR }), { pool });
    const fourth = await send(pacs, [sample(1), sample(2, { sopClassUid: MR })], { pool });
    const all = [first, second, third, fourth].map(({ summary }) => summary);
    expect(all.map(({ stored }) => stored)).toEqual([2, 3, 1, 2]);
    expect(all.map(({ associations }) => associations)).toEqual([1, 0, 1, 0]);
    expect(proposals.map((contexts) => contexts.map(({ abstractSyntax }) => abstractSyntax))).toEqual([
      [CT, VERIFICATION],
      [MR, VERIFICATION, CT],
    ]);
  });

  it('one that is given back after its time is released politely', async () => {
    const last: (number | undefined)[] = [];
    const { pacs } = await peerThat(async (connection) => {
      await accepted(connection);
      const [store] = await receiveStores(connection, 1);
      if (store !== undefined) connection.send(respond(store.command, 0));
      last.push((await connection.receive())?.type);
      connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
    });
    pool = createScuPool();
    await send({ ...pacs, keepOpenMs: 20 }, samples(1), { pool });
    await until(() => last.length === 1);
    expect(last).toEqual([PDU.releaseRequest]);
  });

  it.each<[string, (connection: PeerConnection) => void]>([
    ['closed', ({ socket }) => void socket.end()],
    ['aborted', ({ send }) => send(pdu(PDU.abort, Buffer.from([0, 0, 2, 0])))],
    ['released', ({ send }) => send(pdu(PDU.releaseRequest, Buffer.alloc(4)))],
  ])('one that the PACS has %s while it was idle: a fresh one is opened', async (_name, end) => {
    let idle: PeerConnection | undefined;
    const scripted = await peerThat(async (connection, number) => {
      if (number > 1) return storingScript(() => 0)(connection, number);
      await accepted(connection);
      const [store] = await receiveStores(connection, 1);
      if (store !== undefined) connection.send(respond(store.command, 0));
      idle = connection;
    });
    pool = createScuPool();
    const pacs = keeping(scripted.pacs);
    await send(pacs, samples(1), { pool });
    if (idle !== undefined) end(idle);
    // Until our side has closed it as well.
    while ((await idle?.receive()) !== undefined);
    const { results, summary } = await send(pacs, samples(2), { pool });
    expect(results).toEqual(['stored', 'stored']);
    expect(summary.associations).toBe(1);
  });

  it('one that dies under the first C-STORE: sent again on a fresh one, which may know it, and never unanswered', async () => {
    let second = 0;
    // The first of the two has arrived twice by then.
    const statusOf = ({ dataSet }: Arrived, number: number) =>
      number > 1 && dataSet.length === 101 ? 0x0111 : 0;
    const scripted = await peerThat(async (connection, number) => {
      await accepted(connection);
      const [store] = await receiveStores(connection, 1);
      if (store !== undefined) connection.send(respond(store.command, statusOf(store, number)));
      if (number === 1) {
        second = (await receiveStores(connection, 1)).length;
        connection.socket.resetAndDestroy();
        return;
      }
      const [last] = await receiveStores(connection, 1);
      if (last !== undefined) connection.send(respond(last.command, statusOf(last, number)));
      await releasing(connection);
    });
    pool = createScuPool();
    const pacs = keeping(scripted.pacs);
    await send(pacs, samples(1), { pool });
    const { byUid, summary } = await send(pacs, samples(2), { pool });
    expect(second).toBe(1);
    expect([byUid.get('2.25.1')?.result, byUid.get('2.25.2')?.result]).toEqual(['warning', 'stored']);
    expect([byUid.get('2.25.1')?.sha256, byUid.get('2.25.2')?.sha256]).toEqual([sha256(1), sha256(2)]);
    expect(summary.associations).toBe(1);
  });
});

describe('what the config says of a PACS', () => {
  it('user name and password: given, and read anew for each association', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'drawbridge-user-'));
    const passwordFile = join(folder, 'password');
    const given: unknown[] = [];
    const { pacs } = await peerThat(async (connection) => {
      const request = await accepted(connection, { confirmsUser: true });
      given.push(readUserItems(pdu(1, request.body)).userIdentity);
      const [store] = await receiveStores(connection, 1);
      if (store !== undefined) connection.send(respond(store.command, 0));
      await releasing(connection);
    });
    const calling = { ...pacs, user: { name: 'brücke', passwordFile } };
    try {
      for (const password of ['erstes', 'zweites ß']) {
        await writeFile(passwordFile, `${password}\n`);
        await send(calling, samples(1));
      }
      await rm(passwordFile);
      await expect(send(calling, samples(1))).rejects.toThrow(
        expect.objectContaining({ code: 'KEY_UNREADABLE' }),
      );
      await send({ ...pacs, user: { name: 'brücke' } }, samples(1));
    } finally {
      await rm(folder, { recursive: true });
    }
    const text = JSON.stringify(given.filter((each) => each !== undefined).map(decoded));
    expect(text).toContain('brücke');
    expect(text).toContain('zweites ß');
    expect(given.filter((each) => each !== undefined)).toHaveLength(3);
  });

  it('each instance is called for by its own sender, where it has one', async () => {
    const callers: string[] = [];
    const { pacs } = await peerThat(async (connection) => {
      const request = await accepted(connection);
      const caller = callingAeOf(request.body);
      for (;;) {
        const arrived = await receiveStore(connection);
        if (arrived === undefined) return connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
        callers.push(`${caller} ${arrived.dataSet.readUInt8(0)}`);
        connection.send(respond(arrived.command, 0));
      }
    });
    const [ct1, ct2] = [parseAeTitle('CT1'), parseAeTitle('CT2')];
    const instances = [
      sample(1, { callingAe: ct1 }),
      sample(2),
      sample(3, { callingAe: ct2 }),
      sample(4, { callingAe: ct1 }),
    ];
    const { summary } = await send(pacs, instances);
    expect(callers.sort()).toEqual(['BRIDGE 2', 'CT1 1', 'CT1 4', 'CT2 3']);
    expect(summary.associations).toBe(3);
  });

  it('transfer syntaxes: no other is proposed, and what cannot go in one of them is refused by name', async () => {
    const proposals: (readonly Proposed[])[] = [];
    const { pacs } = await peerThat(
      storingScript(() => 0, { seen: (contexts) => void proposals.push(contexts) }),
    );
    const { byUid } = await send({ ...pacs, transferSyntaxes: [EXPLICIT] }, [
      sample(1),
      sample(2, { transferSyntaxUid: JPEG }),
    ]);
    expect(proposals).toEqual([[expect.objectContaining({ transferSyntax: EXPLICIT })]]);
    expect(byUid.get('2.25.1')?.result).toBe('stored');
    expect(byUid.get('2.25.2')).toMatchObject({
      result: 'refused',
      error: { code: 'CONTEXT_UNSUPPORTED', message: expect.stringContaining('JPEG Baseline') },
    });
  });

  it('largest PDU: smaller than what the PACS takes, it is kept', async () => {
    const lengths: number[] = [];
    const { pacs } = await peerThat(
      storingScript(
        ({ fragments }) => {
          lengths.push(...fragments.map(({ length }) => length));
          return 0;
        },
        { maxPduBytes: 131_072 },
      ),
    );
    const bytes = Buffer.alloc(50_000);
    const big = sample(1, {
      sizeBytes: bytes.length,
      async *open() {
        yield bytes;
      },
    });
    await send({ ...pacs, maxPduBytes: 4_096 }, [big]);
    expect(Math.max(...lengths)).toBe(4_096);
  });
});

describe('an instance that can be converted', () => {
  const converted = (own: OutgoingInstance, to: string): OutgoingInstance => ({
    ...own,
    transferSyntaxUid: to,
    sizeBytes: 4,
    async *open() {
      yield Buffer.from('made');
    },
  });
  const taking = (accepts: (syntax: string) => boolean): [Script, (readonly Proposed[])[]] => {
    const proposals: (readonly Proposed[])[] = [];
    const script = storingScript(() => 0, {
      seen: (contexts) => void proposals.push(contexts),
      result: ({ transferSyntax }) => (accepts(transferSyntax) ? 0 : 4),
    });
    return [script, proposals];
  };

  it('own transfer syntax taken: it goes as it is', async () => {
    const [script, proposals] = taking(() => true);
    const { pacs } = await peerThat(script);
    const { outcomes } = await send(pacs, samples(1, { transferSyntaxUid: JPEG }), {
      convert: () => Promise.reject(new Error('never called')),
    });
    expect(outcomes).toMatchObject([{ result: 'stored', transferSyntaxUid: JPEG }]);
    expect(proposals[0]?.map(({ transferSyntax }) => transferSyntax)).toEqual([JPEG, EXPLICIT, IMPLICIT]);
  });

  it('refused, another taken: converted to that one, and the outcome says so', async () => {
    const [script] = taking((syntax) => syntax === IMPLICIT);
    const { pacs } = await peerThat(script);
    const offers: (readonly string[])[] = [];
    const { outcomes } = await send(pacs, samples(2, { transferSyntaxUid: JPEG }), {
      convert: async (own, accepts) => {
        offers.push(accepts);
        return converted(own, IMPLICIT);
      },
    });
    expect(offers).toEqual([[IMPLICIT], [IMPLICIT]]);
    const made = createHash('sha256').update('made').digest('hex');
    expect(outcomes).toMatchObject([
      { result: 'stored', transferSyntaxUid: IMPLICIT, sha256: made },
      { result: 'stored', transferSyntaxUid: IMPLICIT, sha256: made },
    ]);
  });

  it('cannot be converted: refused with that reason, the others go on', async () => {
    const [script] = taking((syntax) => syntax === EXPLICIT);
    const { pacs } = await peerThat(script);
    const { byUid } = await send(pacs, [sample(1, { transferSyntaxUid: JPEG }), sample(2)], {
      convert: () => Promise.reject(new GatewayError('TRANSCODE_FAILED', 'lossy')),
    });
    expect(byUid.get('2.25.1')).toMatchObject({ result: 'refused', error: { code: 'TRANSCODE_FAILED' } });
    expect(byUid.get('2.25.2')?.result).toBe('stored');
  });

  it('no other taken either: refused by its own name, and nothing is converted', async () => {
    const [script] = taking(() => false);
    const { pacs } = await peerThat(script);
    const { outcomes } = await send(pacs, samples(1, { transferSyntaxUid: JPEG }), {
      convert: () => Promise.reject(new Error('never called')),
    });
    expect(outcomes).toMatchObject([{ result: 'refused', error: { code: 'CONTEXT_UNSUPPORTED' } }]);
  });
});

function decoded(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('utf8');
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, decoded(each)]));
}

/**
 * Peers that stop, hang, flood or lie at the worst moment: no session is left open or closed twice, memory stays
 * bounded, and the next caller is served. (dimse-wire.test.ts has the PDUs that are wrong in themselves.)
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Scp, type ScpOptions, startScp } from '../../src/dimse/scp.js';
import type { StoreHandler } from '../../src/dimse/store-scp.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { silentLog } from '../../src/observe/log.js';
import {
  ABORT_BY_USER,
  associate,
  associateRequest,
  type Caller,
  data,
  dial,
  ECHO_CONTEXT,
  echo,
  echoRequest,
  formatDataPdu,
  RELEASE_REQUEST,
  STORE_CONTEXT,
  storeRequest,
} from '../integration/dimse-scp-caller.js';
import { until } from '../support/until.js';

const RESET = 'reset';

let scp: Scp;
const counts = { opened: 0, closed: 0, begun: 0, discarded: 0, committed: 0 };
const callers: Caller[] = [];

const counting: StoreHandler = {
  associationOpened: () => {
    counts.opened += 1;
  },
  associationClosed: () => {
    counts.closed += 1;
  },
  async begin() {
    counts.begun += 1;
    return {
      write: () => undefined,
      commit: async () => {
        counts.committed += 1;
      },
      discard: async () => {
        counts.discarded += 1;
      },
    };
  },
};

const start = async (overrides: Partial<ScpOptions> = {}): Promise<void> => {
  scp = await startScp({
    host: '127.0.0.1',
    port: 0,
    policy: { calledAes: ['DRAWBRIDGE'], callers: [], anyCaller: true, privateSopClasses: [] },
    handler: counting,
    log: silentLog,
    idleTimeoutMs: 5_000,
    acceptTimeoutMs: 5_000,
    maxAssociations: 5,
    maxAssociationsPerCaller: 5,
    maxPduBytes: 16_384,
    maxInstanceBytes: 100_000,
    ...overrides,
  });
};

const call = async (making: Promise<Caller>): Promise<Caller> => {
  const caller = await making;
  callers.push(caller);
  return caller;
};

beforeEach(() => {
  Object.assign(counts, { opened: 0, closed: 0, begun: 0, discarded: 0, committed: 0 });
});
afterEach(async () => {
  for (const { socket } of callers.splice(0)) socket.destroy();
  await scp.close(0);
});

describe('an association that ends in the middle of a data set, its session is discarded once', () => {
  it.each([
    ['by a close', 'close'],
    ['by a reset', RESET],
    ['by an A-ABORT', ABORT_BY_USER],
    ['by a release request', RELEASE_REQUEST],
    ['by a command where data should be', echoRequest()],
    ['by data of another context', formatDataPdu(ECHO_CONTEXT, false, false, Buffer.from('x'))],
    ['by junk', Buffer.from('junk, and more of it')],
    ['by a PDU of 4 GiB', Buffer.from([4, 0, 0xff, 0xff, 0xff, 0xff])],
  ])('%s', async (_title, ending) => {
    await start();
    const caller = await call(associate(scp.port));
    caller.send(storeRequest(), data(Buffer.alloc(10_000), false));
    await until(() => scp.associations()[0]?.bytes === 10_000, { what: 'half a data set' });
    if (ending === 'close') caller.socket.end();
    else if (ending === RESET) caller.socket.resetAndDestroy();
    else caller.send(Buffer.from(ending));
    await until(() => counts.closed === 1, { what: 'the association is closed' });
    await echo(scp.port);
    expect(counts).toMatchObject({ begun: 1, discarded: 1, committed: 0 });
    expect(scp.associations()).toEqual([]);
  });

  it('by silence', async () => {
    await start({ idleTimeoutMs: 1_000 });
    const caller = await call(associate(scp.port));
    caller.send(storeRequest(), data(Buffer.alloc(100), false));
    await caller.ended;
    await until(() => counts.closed === 1, { what: 'the association is closed' });
    expect(caller.received().at(-10)).toBe(7);
    expect(counts).toMatchObject({ begun: 1, discarded: 1, committed: 0 });
    await echo(scp.port);
  });

  it('by our own end', async () => {
    await start();
    const caller = await call(associate(scp.port));
    caller.send(storeRequest(), data(Buffer.alloc(100), false));
    await until(() => scp.associations()[0]?.bytes === 100, { what: 'some of a data set' });
    await scp.close(50);
    await caller.ended;
    expect(caller.received().at(-10)).toBe(7);
    expect(counts).toMatchObject({ begun: 1, discarded: 1, committed: 0, closed: 1 });
  });

  it('even when it ends before the handler has begun', async () => {
    let begin: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      begin = resolve;
    });
    await start({
      handler: {
        ...counting,
        begin: async (instance) => {
          await gate;
          return counting.begin(instance);
        },
      },
    });
    const caller = await call(associate(scp.port));
    caller.send(storeRequest());
    await until(() => scp.associations().length === 1, { what: 'the association is open' });
    caller.socket.resetAndDestroy();
    begin();
    await until(() => counts.closed === 1, { what: 'the association is closed' });
    expect(counts).toMatchObject({ begun: counts.discarded, committed: 0 });
  });

  it('also when discarding fails', async () => {
    await start({
      handler: {
        ...counting,
        begin: async () => ({
          write: () => undefined,
          commit: async () => undefined,
          discard: () => Promise.reject(new GatewayError('SPOOL_WRITE_FAILED', 'no')),
        }),
      },
    });
    const caller = await call(associate(scp.port));
    caller.send(storeRequest(), data(Buffer.alloc(100), false), ABORT_BY_USER);
    await until(() => counts.closed === 1, { what: 'the association is closed' });
    await echo(scp.port);
  });
});

describe('a connection without an association', () => {
  it.each([
    ['that closes at once', (caller: Caller) => caller.socket.end()],
    ['that resets at once', (caller: Caller) => caller.socket.resetAndDestroy()],
    [
      'that closes in the middle of its request',
      (caller: Caller) => caller.socket.end(associateRequest().subarray(0, 40)),
    ],
    ['that sends junk first', (caller: Caller) => caller.send(Buffer.alloc(100_000, 0x41))],
    [
      'that asks, and resets before the answer',
      (caller: Caller) => caller.socket.write(associateRequest(), () => caller.socket.resetAndDestroy()),
    ],
    [
      'with a request of items that lie about their length',
      (caller: Caller) => {
        const request = associateRequest();
        request.writeUInt16BE(0xffff, 76);
        caller.send(request);
      },
    ],
    ['with an empty request', (caller: Caller) => caller.send(Buffer.from([1, 0, 0, 0, 0, 0]))],
  ])('%s is dropped, and the next is served', async (_title, misbehave) => {
    await start({ acceptTimeoutMs: 500, idleTimeoutMs: 500 });
    const caller = await call(dial(scp.port));
    misbehave(caller);
    await caller.ended;
    await echo(scp.port);
    await until(() => counts.closed === counts.opened, { what: 'all are closed' });
    expect(counts.begun).toBe(0);
  });

  it('that drips its request is dropped when its time is over, however alive it looks', async () => {
    await start({ acceptTimeoutMs: 300 });
    const caller = await call(dial(scp.port));
    const request = associateRequest();
    let sent = 0;
    const dripping = setInterval(() => {
      caller.socket.write(request.subarray(sent, sent + 1));
      sent += 1;
    }, 25);
    await caller.ended;
    clearInterval(dripping);
    expect(sent).toBeLessThan(request.length);
    expect(counts.opened).toBe(0);
    await echo(scp.port);
  });

  it('that repeats itself a hundred times at once keeps nobody else out for long', async () => {
    await start({ acceptTimeoutMs: 300 });
    await Promise.all(Array.from({ length: 100 }, () => call(dial(scp.port))));
    await Promise.all(callers.map(({ ended }) => ended));
    await echo(scp.port);
  });
});

describe('a peer that does not wait for answers', () => {
  it('has one instance at a time committed, in its order', async () => {
    let running = 0;
    let most = 0;
    const order: string[] = [];
    await start({
      handler: {
        ...counting,
        begin: async ({ sopInstanceUid }) => {
          running += 1;
          most = Math.max(most, running);
          return {
            write: () => undefined,
            async commit() {
              await new Promise((resolve) => setTimeout(resolve, 2));
              order.push(sopInstanceUid);
              running -= 1;
            },
            discard: async () => undefined,
          };
        },
      },
    });
    const caller = await call(associate(scp.port));
    const uids = Array.from({ length: 40 }, (_, at) => `1.2.3.${at}`);
    caller.send(
      Buffer.concat(uids.flatMap((uid, at) => [storeRequest(uid, at + 1), data(Buffer.from('data'), true)])),
    );
    await until(() => caller.statuses().length === uids.length, { what: 'all are answered' });
    expect(new Set(caller.statuses())).toEqual(new Set([0]));
    expect([most, order]).toEqual([1, uids]);
  });

  it('nor reads them, is not read any more either', async () => {
    await start({ idleTimeoutMs: 60_000 });
    const caller = await call(associate(scp.port));
    caller.socket.pause();
    const echoes = Buffer.concat(Array.from({ length: 10_000 }, () => echoRequest()));
    // Far more than the kernel's buffers of both sides hold.
    for (let sent = 0; sent < 40; sent += 1) caller.send(echoes);
    let left = -1;
    await until(
      () => {
        const before = left;
        left = caller.socket.writableLength;
        return before === left;
      },
      { what: 'the peer is stopped', everyMs: 250 },
    );
    expect(left).toBeGreaterThan(echoes.length);
    await echo(scp.port);
  });
});

describe('a peer that is served', () => {
  it('may send its whole conversation one byte at a time', async () => {
    await start();
    const caller = await call(dial(scp.port));
    const drip = (bytes: Buffer) => {
      for (const byte of bytes) caller.socket.write(Buffer.from([byte]));
    };
    drip(associateRequest());
    await until(() => caller.received()[0] === 2, { what: 'A-ASSOCIATE-AC' });
    drip(Buffer.concat([storeRequest(), data(Buffer.from('ab'), false), data(Buffer.from('cd'), true)]));
    await until(() => caller.statuses().length === 1, { what: 'the store is answered' });
    drip(RELEASE_REQUEST);
    await caller.ended;
    expect(counts).toMatchObject({ begun: 1, committed: 1, discarded: 0 });
  });

  it('may cut its command and its data set into empty and tiny fragments', async () => {
    await start();
    const caller = await call(associate(scp.port));
    const command = storeRequest().subarray(12);
    for (const byte of command) caller.send(formatDataPdu(STORE_CONTEXT, true, false, Buffer.from([byte])));
    caller.send(formatDataPdu(STORE_CONTEXT, true, true, Buffer.alloc(0)));
    caller.send(data(Buffer.alloc(0), false), data(Buffer.from('ab'), false), data(Buffer.alloc(0), true));
    await until(() => caller.statuses().length === 1, { what: 'the store is answered' });
    expect([caller.statuses()[0], counts.committed]).toEqual([0, 1]);
  });

  it('but sends a command without end is aborted', async () => {
    await start();
    const caller = await call(associate(scp.port));
    const piece = formatDataPdu(STORE_CONTEXT, true, false, Buffer.alloc(8_000));
    for (let sent = 0; sent < 10; sent += 1) caller.send(piece);
    await caller.ended;
    expect(caller.received().at(-10)).toBe(7);
    await echo(scp.port);
  });
});

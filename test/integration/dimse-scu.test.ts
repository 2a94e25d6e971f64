/** The C-STORE and C-ECHO SCU against scripted peers: what a PACS can do wrong, step by step, on real sockets. */
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { echo } from '../../src/dimse/echo-scu.js';
import {
  type OutgoingInstance,
  type StoreOutcome,
  type StoreScuOptions,
  storeInstances,
} from '../../src/dimse/store-scu.js';
import { parseAeTitle } from '../../src/domain/ae-title.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { until } from '../support/until.js';
import {
  type Arrived,
  accept,
  PDU,
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
const EXPLICIT = '1.2.840.10008.1.2.1';
const JPEG = '1.2.840.10008.1.2.4.50';
const CALLING = parseAeTitle('BRIDGE');

let peer: ScriptedPeer | undefined;
afterEach(async () => {
  await peer?.close();
  peer = undefined;
});

const peerThat = async (script: Script): Promise<ScriptedPeer> => {
  peer = await startPeer(script);
  return peer;
};

interface Sample extends OutgoingInstance {
  readonly bytes: Buffer;
}

const sample = (
  number: number,
  bytes: Buffer = randomBytes(1000),
  overrides: Partial<OutgoingInstance> = {},
): Sample => ({
  sopClassUid: CT,
  sopInstanceUid: `2.25.${number}`,
  transferSyntaxUid: EXPLICIT,
  sizeBytes: bytes.length,
  bytes,
  async *open() {
    // Odd pieces, so that PDUs never fall on their borders.
    for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777);
  },
  ...overrides,
});

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

async function send(
  to: ScriptedPeer['pacs'],
  instances: readonly OutgoingInstance[],
  overrides: Partial<StoreScuOptions> = {},
) {
  const outcomes: StoreOutcome[] = [];
  const summary = await storeInstances({
    pacs: to,
    callingAe: CALLING,
    instances,
    associationTimeoutMs: 5_000,
    responseTimeoutMs: 5_000,
    onOutcome: (outcome) => void outcomes.push(outcome),
    ...overrides,
  });
  return { outcomes, summary, results: outcomes.map(({ result }) => result) };
}

const withCode = (code: string, message?: RegExp) =>
  expect.objectContaining({ code, ...(message ? { message: expect.stringMatching(message) } : {}) });

describe('an association that cannot be had', () => {
  it.each<[result: number, source: number, reason: number, code: string, words: RegExp]>([
    [1, 1, 1, 'PACS_REFUSED', /for good: no reason given/],
    [1, 1, 2, 'PACS_REFUSED', /application context name not supported/],
    [1, 1, 3, 'PACS_REFUSED', /calling AE title not recognized/],
    [1, 1, 7, 'PACS_REFUSED', /called AE title not recognized/],
    [1, 2, 2, 'PACS_REFUSED', /protocol version not supported/],
    [1, 3, 9, 'PACS_REFUSED', /source 3, reason 9/],
    [2, 1, 1, 'PACS_BUSY', /for now: no reason given/],
    [2, 3, 1, 'PACS_BUSY', /temporary congestion/],
    [2, 3, 2, 'PACS_BUSY', /local limit exceeded/],
  ])('rejection %i/%i/%i is %s', async (result, source, reason, code, words) => {
    const { pacs } = await peerThat(async (connection) => {
      await connection.receive();
      connection.send(pdu(PDU.reject, Buffer.from([0, result, source, reason])));
    });
    await expect(send(pacs, [sample(1)])).rejects.toThrow(withCode(code, words));
    await expect(echo({ pacs, callingAe: CALLING })).rejects.toThrow(withCode(code, words));
  });

  it('nothing listens there: unreachable, and no outcome is given', async () => {
    const { pacs, close } = await startPeer(async () => undefined);
    await close();
    const outcomes: StoreOutcome[] = [];
    const sending = send(pacs, [sample(1)], { onOutcome: (outcome) => void outcomes.push(outcome) });
    await expect(sending).rejects.toThrow(withCode('PACS_UNREACHABLE', /ECONNREFUSED/));
    expect(outcomes).toEqual([]);
  });

  it('silence after A-ASSOCIATE-RQ: unreachable in time', async () => {
    const { pacs } = await peerThat(async (connection) => void (await connection.receive()));
    const sending = send(pacs, [sample(1)], { associationTimeoutMs: 80 });
    await expect(sending).rejects.toThrow(withCode('PACS_UNREACHABLE', /A-ASSOCIATE-RQ within 80 ms/));
  });

  it('abort instead of an answer: unreachable', async () => {
    const { pacs } = await peerThat(async (connection) => {
      await connection.receive();
      connection.send(pdu(PDU.abort, Buffer.from([0, 0, 2, 6])));
    });
    const sending = send(pacs, [sample(1)]);
    await expect(sending).rejects.toThrow(withCode('PACS_UNREACHABLE', /aborts .* invalid PDU parameter/));
  });

  it('close instead of an answer: unreachable', async () => {
    const { pacs } = await peerThat(async (connection) => {
      await connection.receive();
      connection.socket.end();
    });
    await expect(send(pacs, [sample(1)])).rejects.toThrow(withCode('PACS_UNREACHABLE', /closes/));
  });

  it.each<[string, Buffer]>([
    ['a web server', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['a PDU of 4 GiB', Buffer.from([2, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3])],
    ['an acceptance that cannot be read', pdu(2, Buffer.alloc(100, 0x21))],
  ])('%s answers: an error at once, not a wait', async (_name, answer) => {
    const { pacs } = await peerThat(async (connection) => {
      await connection.receive();
      connection.send(answer);
    });
    const sending = send(pacs, [sample(1)], { associationTimeoutMs: 60_000 });
    await expect(sending).rejects.toThrow(
      expect.objectContaining({ code: expect.stringMatching(/PACS_(REFUSED|UNREACHABLE)/) }),
    );
  });

  it('a maximum PDU without room for data: refused', async () => {
    const { pacs } = await peerThat(storingScript(() => 0, { maxPduBytes: 7 }));
    await expect(send(pacs, [sample(1)])).rejects.toThrow(withCode('PACS_REFUSED', /no room/));
  });

  it('stopped beforehand: cancelled without a connection kept', async () => {
    const { pacs } = await peerThat(storingScript(() => 0));
    const sending = send(pacs, [sample(1)], { signal: AbortSignal.abort() });
    await expect(sending).rejects.toThrow(withCode('CANCELLED'));
  });
});

describe('an association that breaks in the middle', () => {
  const three = [sample(1), sample(2), sample(3)];
  const afterFirst =
    (then: (arrived: Arrived, connection: Parameters<Script>[0]) => void): Script =>
    async (connection) => {
      const request = await connection.receive();
      if (request !== undefined) connection.send(accept(request.body));
      const first = await receiveStore(connection);
      if (first !== undefined) connection.send(respond(first.command, 0));
      const second = await receiveStore(connection);
      if (second !== undefined) then(second, connection);
      else connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
    };

  it.each<[string, Script]>([
    ['abort', afterFirst((_, { send }) => send(pdu(PDU.abort, Buffer.from([0, 0, 0, 0]))))],
    ['close', afterFirst((_, { socket }) => void socket.end())],
    ['reset', afterFirst((_, { socket }) => void socket.resetAndDestroy())],
    ['release by the PACS', afterFirst((_, { send }) => send(pdu(PDU.releaseRequest, Buffer.alloc(4))))],
    ['junk', afterFirst((_, { send }) => send(Buffer.from('junk junk junk')))],
    ['silence', afterFirst(() => undefined)],
  ])('%s: the instance under way is unanswered, the rest goes on', async (_name, script) => {
    const { pacs } = await peerThat(script);
    const { outcomes, results, summary } = await send(pacs, three, { responseTimeoutMs: 1_000 });
    expect(results).toEqual(['stored', 'unanswered', 'stored']);
    expect(summary).toEqual({ stored: 2, warning: 0, refused: 0, unanswered: 1, associations: 2 });
    expect(outcomes[1]).toMatchObject({
      sopInstanceUid: '2.25.2',
      sha256: '',
      error: { code: 'STORE_UNANSWERED', kind: 'ambiguous' },
    });
  });

  it('and cannot be had again: the rest is unanswered, never sent', async () => {
    const script = afterFirst((_, { socket }) => void socket.resetAndDestroy());
    const { pacs } = await peerThat(async (connection, number) => {
      if (number === 1) return script(connection, number);
      connection.socket.resetAndDestroy();
    });
    const { results, outcomes } = await send(pacs, three);
    expect(results).toEqual(['stored', 'unanswered', 'unanswered']);
    expect(outcomes.map(({ error }) => error?.code)).toEqual([
      undefined,
      'STORE_UNANSWERED',
      'STORE_UNANSWERED',
    ]);
  });

  it('PACS that breaks every association: given up after a few, each instance unanswered once', async () => {
    const scripted = await peerThat(async (connection) => {
      const request = await connection.receive();
      if (request !== undefined) connection.send(accept(request.body));
      await connection.receive();
      await connection.receive();
      connection.socket.resetAndDestroy();
    });
    const instances = [
      sample(0, randomBytes(20_000_000)),
      ...Array.from({ length: 9 }, (_, at) => sample(at + 1)),
    ];
    const { results, outcomes, summary } = await send(scripted.pacs, instances);
    expect(results).toEqual(instances.map(() => 'unanswered'));
    expect(outcomes.map((outcome) => outcome.sopInstanceUid).sort()).toEqual(
      instances.map((one) => one.sopInstanceUid).sort(),
    );
    expect(summary.associations).toBe(3);
    expect(scripted.connections).toBe(3);
  });

  it('instances that break associations stand side by side at the head: all behind them arrive', async () => {
    const bad = 8;
    const stored: number[] = [];
    const { pacs } = await peerThat(
      storingScript(({ dataSet }) => {
        const number = dataSet.readUInt8(0);
        if (number < bad) return undefined;
        stored.push(number);
        return 0;
      }),
    );
    const instances = Array.from({ length: 40 }, (_, at) => sample(at, Buffer.alloc(100, at)));
    const { summary, outcomes } = await send(pacs, instances);
    expect(stored.sort((a, b) => a - b)).toEqual(Array.from({ length: 32 }, (_, at) => bad + at));
    expect(summary).toMatchObject({ stored: 32, unanswered: bad });
    expect(new Set(outcomes.map(({ sopInstanceUid }) => sopInstanceUid)).size).toBe(instances.length);
  });

  it('PACS that stops reading: given up in time', async () => {
    const { pacs } = await peerThat(async (connection) => {
      const request = await connection.receive();
      if (request !== undefined) connection.send(accept(request.body));
      connection.socket.pause();
    });
    const begun = performance.now();
    const { results } = await send(pacs, [sample(1, randomBytes(30_000_000))], { responseTimeoutMs: 200 });
    expect(results).toEqual(['unanswered']);
    expect(performance.now() - begun).toBeLessThan(5_000);
  });

  it('stopped by signal: A-ABORT goes out, the rest is unanswered', async () => {
    const stop = new AbortController();
    let last: number | undefined;
    const { pacs } = await peerThat(async (connection) => {
      const request = await connection.receive();
      if (request !== undefined) connection.send(accept(request.body));
      await receiveStore(connection);
      stop.abort();
      last = (await connection.receive())?.type;
    });
    const { results } = await send(pacs, three, { signal: stop.signal });
    expect(results).toEqual(['unanswered', 'unanswered', 'unanswered']);
    await until(() => last === PDU.abort);
  });

  it('a second association that cannot be had: thrown, with no outcome for what was not tried', async () => {
    const kinds = Array.from({ length: 129 }, (_, at) =>
      sample(at, Buffer.alloc(10), { sopClassUid: `1.2.${at}` }),
    );
    const { pacs } = await peerThat(async (connection, number) => {
      if (number === 1) return storingScript(() => 0)(connection, number);
      await connection.receive();
      connection.send(pdu(PDU.reject, Buffer.from([0, 2, 3, 1])));
    });
    const outcomes: StoreOutcome[] = [];
    const sending = send(pacs, kinds, { onOutcome: (outcome) => void outcomes.push(outcome) });
    await expect(sending).rejects.toThrow(withCode('PACS_BUSY'));
    expect(outcomes).toHaveLength(128);
  });
});

describe('one instance among others', () => {
  it.each<[status: number, result: string, code: string | undefined]>([
    [0x0000, 'stored', undefined],
    [0xb000, 'warning', undefined],
    [0xb006, 'warning', undefined],
    [0xb007, 'warning', undefined],
    [0x0001, 'warning', undefined],
    [0x0107, 'warning', undefined],
    [0x0116, 'warning', undefined],
    [0x0111, 'refused', 'PACS_REFUSED'],
    [0xa700, 'refused', 'PACS_BUSY'],
    [0xa701, 'refused', 'PACS_BUSY'],
    [0xa900, 'refused', 'PACS_REFUSED'],
    [0xc000, 'refused', 'PACS_REFUSED'],
    [0xc123, 'refused', 'PACS_REFUSED'],
    [0x0110, 'refused', 'PACS_REFUSED'],
    [0x0122, 'refused', 'PACS_REFUSED'],
    [0x0124, 'refused', 'PACS_REFUSED'],
    [0xfe00, 'refused', 'PACS_REFUSED'],
    [0x4711, 'refused', 'PACS_REFUSED'],
  ])('status %i: %s, and the next one is sent', async (status, result, code) => {
    const { pacs } = await peerThat(storingScript((_, number) => (number === 1 ? status : 0)));
    const { outcomes, results } = await send(pacs, [sample(1), sample(2)]);
    expect(results).toEqual([result, 'stored']);
    expect(outcomes[0]?.status).toBe(status);
    expect(outcomes[0]?.error?.code).toBe(code);
  });

  it('status 0x0111 to what may be there already: a warning, for the PACS has it', async () => {
    const { pacs } = await peerThat(storingScript(() => 0x0111));
    const { results } = await send(pacs, [sample(1), sample(2, undefined, { mayBeThere: true })]);
    expect(results).toEqual(['refused', 'warning']);
  });

  it('each is announced before it goes out; what has no context never is', async () => {
    const announced: string[] = [];
    const { pacs } = await peerThat(
      storingScript(({ dataSet }) => (announced.length === dataSet.length ? 0 : 0xc000), {
        result: ({ transferSyntax }) => (transferSyntax === JPEG ? 4 : 0),
      }),
    );
    const { results } = await send(
      pacs,
      [
        sample(1, Buffer.alloc(1)),
        sample(2, Buffer.alloc(2), { transferSyntaxUid: JPEG }),
        sample(3, Buffer.alloc(2)),
      ],
      { onSending: ({ sopInstanceUid }) => void announced.push(sopInstanceUid) },
    );
    expect(announced).toEqual(['2.25.1', '2.25.3']);
    expect(results).toEqual(['stored', 'refused', 'stored']);
  });

  it('nothing goes out when it cannot be announced, and the reason is thrown', async () => {
    let arrived = 0;
    const { pacs } = await peerThat(
      storingScript(() => {
        arrived += 1;
        return 0;
      }),
    );
    const sending = send(pacs, [sample(1), sample(2)], {
      onSending: () => Promise.reject(new GatewayError('SPOOL_WRITE_FAILED', 'the disk is full')),
    });
    await expect(sending).rejects.toThrow(withCode('SPOOL_WRITE_FAILED'));
    expect(arrived).toBe(0);
  });

  it('context refused: named by SOP class and transfer syntax, the others go on', async () => {
    const { pacs } = await peerThat(
      storingScript(() => 0, { result: ({ transferSyntax }) => (transferSyntax === JPEG ? 4 : 0) }),
    );
    const { outcomes, results } = await send(pacs, [
      sample(1),
      sample(2, randomBytes(9), { transferSyntaxUid: JPEG }),
      sample(3),
    ]);
    expect(results).toEqual(['stored', 'refused', 'stored']);
    expect(outcomes[1]?.error).toMatchObject({
      code: 'CONTEXT_UNSUPPORTED',
      message: 'PACS takes no CT Image Storage in JPEG Baseline (Process 1): transfer syntax not supported',
    });
  });

  it('context accepted in a syntax that was not proposed: refused, not sent as something else', async () => {
    const { pacs } = await peerThat(storingScript(() => 0, { transferSyntax: () => '1.2.840.10008.1.2' }));
    const { results } = await send(pacs, [sample(1)]);
    expect(results).toEqual(['refused']);
  });

  it.each<[string, associations: number, Partial<OutgoingInstance>]>([
    ['shorter than announced', 2, { sizeBytes: 5_000 }],
    ['longer than announced in its first piece, so that none of it is sent', 1, { sizeBytes: 10 }],
    ['longer than announced further on', 2, { sizeBytes: 900 }],
    [
      'unreadable, so that none of it is sent',
      1,
      {
        open: () => {
          throw new Error('EIO');
        },
      },
    ],
  ])('data set %s: never sent as if whole, the others go on', async (_name, associations, overrides) => {
    const stored: string[] = [];
    const { pacs } = await peerThat(
      storingScript(({ dataSet }) => {
        stored.push(sha256(dataSet));
        return 0;
      }),
    );
    const [first, broken, third] = [sample(1), sample(2, randomBytes(1000), overrides), sample(3)];
    const { outcomes, results, summary } = await send(pacs, [first, broken, third]);
    expect(results).toEqual(['stored', 'unanswered', 'stored']);
    expect(outcomes[1]?.error?.code).toBe('SPOOL_CORRUPT');
    expect(summary.associations).toBe(associations);
    expect(stored).toEqual([sha256(first.bytes), sha256(third.bytes)]);
  });

  it('an answer before the data set is whole: taken, and the association goes on', async () => {
    const { pacs } = await peerThat(async (connection) => {
      const request = await connection.receive();
      if (request === undefined) return;
      connection.send(accept(request.body));
      const command = await connection.receive();
      if (command !== undefined) connection.send(respond(command, 0xa700));
      while (((await connection.receive())?.body.readUInt8(5) ?? 2) !== 2);
      const second = await receiveStore(connection);
      if (second !== undefined) connection.send(respond(second.command, 0));
      await connection.receive();
      connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
    });
    const { results } = await send(pacs, [sample(1, randomBytes(3_000_000)), sample(2)]);
    expect(results).toEqual(['refused', 'stored']);
  });

  it('answer without a status: unanswered, and does not inherit the status of the answer before', async () => {
    const { pacs } = await peerThat(storingScript((_, number) => (number === 1 ? 0 : undefined)));
    const { results } = await send(pacs, [sample(1), sample(2)]);
    expect(results).toEqual(['stored', 'unanswered']);
  });

  it('outcome that cannot be recorded: sending stops with that error, behind the instance that went out meanwhile', async () => {
    let arrived = 0;
    const { pacs } = await peerThat(
      storingScript(() => {
        arrived += 1;
        return 0;
      }),
    );
    const full = new GatewayError('SPOOL_WRITE_FAILED', 'disk is full');
    const sending = send(pacs, [sample(1), sample(2), sample(3)], { onOutcome: () => Promise.reject(full) });
    await expect(sending).rejects.toBe(full);
    expect(arrived).toBe(2);
  });
});

describe('what goes over the wire', () => {
  it.each([0, 16_384, 4_097, 131_072, 4_294_967_295, 8])(
    'maximum PDU %i: kept, and the bytes are those of the data set',
    async (maxPduBytes) => {
      const arrivals: Arrived[] = [];
      const { pacs } = await peerThat(
        storingScript(
          (arrived) => {
            arrivals.push(arrived);
            return 0;
          },
          { maxPduBytes },
        ),
      );
      const limit = maxPduBytes === 0 ? 262_144 : Math.min(maxPduBytes, 262_144);
      const sizes = maxPduBytes === 8 ? [0, 1, 9] : [0, 1, 2, limit - 6, limit - 5, limit, 300_001];
      const instances = sizes.map((size, at) => sample(at, randomBytes(size)));
      const { outcomes, results } = await send(pacs, instances);
      expect(new Set(results)).toEqual(new Set(['stored']));
      for (const [at, { bytes }] of instances.entries()) {
        const { dataSet, fragments } = arrivals[at] ?? { dataSet: Buffer.alloc(0), fragments: [] };
        expect(dataSet.equals(bytes)).toBe(true);
        expect(outcomes[at]?.sha256).toBe(sha256(bytes));
        expect(Math.max(...fragments.map(({ length }) => length))).toBeLessThanOrEqual(limit);
        expect(fragments.map(({ isLast }) => isLast)).toEqual(
          fragments.map((_, i) => i === fragments.length - 1),
        );
        for (const { length } of fragments.slice(0, -1)) expect(length % 2).toBe(0);
      }
    },
  );

  it('one context per kind, at most 128 at a time; every instance goes out on its own', async () => {
    const proposals: (readonly Proposed[])[] = [];
    const wrong: string[] = [];
    const kinds = Array.from({ length: 150 }, (_, at) => ({
      sopClassUid: at % 2 === 0 ? CT : MR,
      transferSyntaxUid: `1.2.3.${Math.floor(at / 2)}`,
    }));
    const instances = [...kinds, ...kinds].map((kind, at) =>
      sample(at, Buffer.from(JSON.stringify(kind)), kind),
    );
    const { pacs } = await peerThat(
      storingScript(
        ({ contextId, dataSet }) => {
          const kind: unknown = JSON.parse(dataSet.toString());
          const context = proposals.at(-1)?.find(({ id }) => id === contextId);
          const used = { sopClassUid: context?.abstractSyntax, transferSyntaxUid: context?.transferSyntax };
          if (JSON.stringify(kind) !== JSON.stringify(used)) wrong.push(dataSet.toString());
          return 0;
        },
        { seen: (contexts) => void proposals.push(contexts) },
      ),
    );
    const { summary } = await send(pacs, instances);
    expect(summary).toMatchObject({ stored: 300, associations: 2 });
    expect(proposals.map(({ length }) => length)).toEqual([128, 22]);
    expect(wrong).toEqual([]);
  });

  it('200 MB in one instance: memory does not grow with it', async () => {
    const chunk = Buffer.alloc(512 * 1024);
    const count = 400;
    let received = 0;
    const { pacs } = await peerThat(async (connection) => {
      const request = await connection.receive();
      if (request === undefined) return;
      connection.send(accept(request.body));
      const command = await connection.receive();
      for (let last = false; !last; ) {
        const data = await connection.receive();
        if (data === undefined) return;
        received += data.body.length - 6;
        last = (data.body.readUInt8(5) & 2) !== 0;
      }
      if (command !== undefined) connection.send(respond(command, 0));
      await connection.receive();
      connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
    });
    const big = sample(1, Buffer.alloc(0), {
      sizeBytes: chunk.length * count,
      async *open() {
        for (let at = 0; at < count; at += 1) yield chunk;
      },
    });
    const before = process.memoryUsage().rss;
    const { results } = await send(pacs, [big], { responseTimeoutMs: 30_000 });
    expect(results).toEqual(['stored']);
    expect(received).toBe(chunk.length * count);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
  });

  it('the association is released, then closed', async () => {
    const seen: (number | undefined)[] = [];
    const { pacs } = await peerThat(async (connection) => {
      const request = await connection.receive();
      if (request === undefined) return;
      connection.send(accept(request.body));
      const arrived = await receiveStore(connection);
      if (arrived !== undefined) connection.send(respond(arrived.command, 0));
      seen.push((await connection.receive())?.type);
      connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
      seen.push((await connection.receive())?.type);
    });
    await send(pacs, [sample(1)]);
    await until(() => seen.length === 2);
    expect(seen).toEqual([PDU.releaseRequest, undefined]);
  });
});

describe('C-ECHO', () => {
  const echoing =
    (status: number, result = 0): Script =>
    async (connection) => {
      const request = await connection.receive();
      if (request === undefined) return;
      connection.send(accept(request.body, { result: () => result }));
      const command = await connection.receive();
      if (command?.type === PDU.data) {
        connection.send(respond(command, status));
        await connection.receive();
      }
      connection.send(pdu(PDU.releaseResponse, Buffer.alloc(4)));
    };

  it('failure status: refused', async () => {
    const { pacs } = await peerThat(echoing(0x0122));
    await expect(echo({ pacs, callingAe: CALLING })).rejects.toThrow(withCode('PACS_REFUSED', /0x0122/));
  });

  it('no context for it: refused', async () => {
    const { pacs } = await peerThat(echoing(0, 3));
    await expect(echo({ pacs, callingAe: CALLING })).rejects.toThrow(withCode('PACS_REFUSED'));
  });

  it('a port that accepts and says nothing: unreachable in time', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await until(() => server.listening);
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const pacs = { aeTitle: parseAeTitle('MUTE'), host: '127.0.0.1', port };
    await expect(echo({ pacs, callingAe: CALLING, timeoutMs: 80 })).rejects.toThrow(
      withCode('PACS_UNREACHABLE'),
    );
    server.close();
  });

  it('success: the round trip is measured', async () => {
    const { pacs } = await peerThat(echoing(0));
    expect((await echo({ pacs, callingAe: CALLING })).roundTripMs).toBeGreaterThan(0);
  });
});

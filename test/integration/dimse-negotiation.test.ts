/** What is settled before the first message: users, roles, windows, extended negotiation; and requests that are wrong. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { readAssociatePdu, readItems } from '../../src/dimse/associate-pdu.js';
import type { RefusedAssociation } from '../../src/dimse/association-judge.js';
import { type Scp, type ScpOptions, startScp } from '../../src/dimse/scp.js';
import type { AssociationService } from '../../src/dimse/service.js';
import type { AssociationInfo } from '../../src/dimse/store-scp.js';
import { addUserItems, readUserItems, type UserItems } from '../../src/dimse/user-items.js';
import type { Log } from '../../src/observe/log.js';
import { associatePdu, item, proposedContext } from '../support/associate-pdus.js';
import { echoscu, storescu } from '../support/dcmtk.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';
import { type Caller, CT, dial, echo, IMPLICIT, VERIFICATION } from './dimse-scp-caller.js';

const COMMITMENT = '1.2.840.10008.1.20.1';
const EXPLICIT = '1.2.840.10008.1.2.1';
const ACCEPT = 2;
const REJECT = 3;
const ABORT = 7;

let folder: string;
let passwordFile: string;
let scp: Scp;
const log: string[] = [];
const warnings: string[] = [];
const refusals: RefusedAssociation[] = [];
const opened: AssociationInfo[] = [];
const callers: Caller[] = [];

const note = (...line: readonly unknown[]) => log.push(JSON.stringify(line));
const warn = (...line: readonly unknown[]) => {
  warnings.push(JSON.stringify(line));
  note(...line);
};
const recording: Log = { debug: note, info: note, warn, error: note, child: () => recording };

const commitment: AssociationService = {
  sopClassUids: [COMMITMENT],
  maxDataSetBytes: 1024,
  serve: async () => ({ status: 0 }),
};

const start = async (overrides: Partial<ScpOptions> = {}): Promise<Scp> => {
  log.length = warnings.length = refusals.length = opened.length = 0;
  scp = await startScp({
    host: '127.0.0.1',
    port: 0,
    policy: {
      calledAes: ['DRAWBRIDGE'],
      callers: [{ aeTitle: 'MODALITY' }, { aeTitle: 'CT1' }],
      anyCaller: false,
      privateSopClasses: [],
      reportingPacs: [{ aeTitle: 'PACS', callingAe: 'DRAWBRIDGE' }],
    },
    handler: {
      associationOpened: (association) => opened.push(association),
      begin: async () => ({
        write: () => undefined,
        commit: async () => undefined,
        discard: async () => undefined,
      }),
    },
    services: [commitment],
    log: recording,
    idleTimeoutMs: 5_000,
    acceptTimeoutMs: 5_000,
    maxAssociations: 10,
    maxAssociationsPerCaller: 10,
    maxPduBytes: 65_536,
    maxInstanceBytes: 1024 ** 2,
    asyncOperations: 16,
    refused: (refusal) => refusals.push(refusal),
    ...overrides,
  });
  return scp;
};

/** Sends a request, and gives the PDU that answers it. */
const ask = async (pdu: Buffer): Promise<Buffer> => {
  const caller = await dial(scp.port);
  callers.push(caller);
  caller.send(pdu);
  return until(
    () => {
      const received = caller.received();
      const end = received.length < 6 ? Number.POSITIVE_INFINITY : 6 + received.readUInt32BE(2);
      return received.length >= end ? received.subarray(0, end) : undefined;
    },
    { what: 'an answer' },
  );
};

const withItems = (items: Partial<UserItems>, abstracts: readonly string[] = [CT, COMMITMENT]) =>
  addUserItems(
    associatePdu(abstracts.map((uid, index) => proposedContext(index * 2 + 1, uid, [IMPLICIT, EXPLICIT]))),
    items,
  );
const itemTypes = (pdu: Buffer) =>
  readAssociatePdu(pdu)
    .items.filter(({ type }) => type === 0x50)
    .flatMap(({ bytes }) => readItems(bytes).map(({ type }) => type));
/** Results and transfer syntaxes by context. */
const resultsIn = (pdu: Buffer) =>
  readAssociatePdu(pdu)
    .items.filter(({ type }) => type === 0x21)
    .map(({ bytes }) => {
      const [syntax] = readItems(bytes.subarray(4));
      return bytes[2] === 0 ? syntax?.bytes.toString() : bytes[2];
    });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-negotiation-'));
  passwordFile = join(folder, 'ct1.password');
  await writeFile(passwordFile, 'open sesame\n');
});
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(async () => {
  for (const { socket } of callers.splice(0)) socket.destroy();
  await scp.close(0);
});

describe('an association request is rejected, in words on our side, and the next caller is served', () => {
  const context = (id: number) => proposedContext(id, CT, [IMPLICIT]);
  const wrongVersion = () => {
    const pdu = associatePdu([context(1)]);
    pdu.writeUInt16BE(4, 6);
    return pdu;
  };
  it.each([
    ['without contexts', associatePdu([]), [1, 2, 1]],
    ['with an even context id', associatePdu([context(2)]), [1, 2, 1]],
    ['with a context id twice', associatePdu([context(1), context(1)]), [1, 2, 1]],
    [
      'with a thousand contexts',
      associatePdu(Array.from({ length: 1000 }, (_, n) => context((2 * n + 1) & 0xff))),
      [1, 2, 1],
    ],
    ['for another application context', associatePdu([context(1)], '1.2.3'), [1, 1, 2]],
    ['in another protocol version', wrongVersion(), [1, 2, 2]],
    ['of one that takes PDUs of 7 bytes', withItems({ maxPduBytes: 7 }), [1, 2, 1]],
  ])('%s', async (_title, pdu, reasons) => {
    await start();
    const answer = await ask(pdu);
    expect([answer[0], ...answer.subarray(7)]).toEqual([REJECT, ...reasons]);
    expect(refusals).toEqual([
      expect.objectContaining({ code: 'REQUEST_INVALID', callingAe: 'CT1', reason: expect.any(String) }),
    ]);
    expect(opened).toEqual([]);
    await echo(scp.port);
  });

  it.each([
    ['an item longer than the request', associatePdu([context(1), Buffer.from([0x50, 0, 0xff, 0xff])])],
    [
      'user information that is cut off',
      associatePdu([context(1), item(0x50, Buffer.from([0x54, 0, 0, 9, 0, 1]))]),
    ],
    ['a context that is cut off', associatePdu([item(0x20, Buffer.from([1]))])],
  ])('and with %s it is aborted', async (_title, pdu) => {
    await start();
    expect((await ask(pdu))[0]).toBe(ABORT);
    await echo(scp.port);
  });
});

describe('one that cannot send is told of on our side', () => {
  it('when none of its contexts can be taken', async () => {
    await start();
    const find = '1.2.840.10008.5.1.4.1.2.2.1';
    expect(resultsIn(await ask(withItems({}, [find, '../../x'])))).toEqual([3, 3]);
    expect(refusals).toEqual([
      expect.objectContaining({ code: 'CONTEXT_UNSUPPORTED', reason: expect.stringContaining(find) }),
    ]);
  });

  it('when it is a PACS that has nothing to report', async () => {
    await start();
    const pdu = withItems({}, [CT]);
    pdu.write('PACS'.padEnd(16), 26, 'latin1');
    expect(resultsIn(await ask(pdu))).toEqual([3]);
    expect(refusals).toEqual([
      expect.objectContaining({
        code: 'CONTEXT_UNSUPPORTED',
        reason: expect.stringContaining('dimse.callers'),
      }),
    ]);
  });

  it('when its host asks too often, for that minute alone', async () => {
    await start({ associationsPerMinutePerCaller: 2 });
    await echo(scp.port);
    await echo(scp.port);
    const answer = await ask(withItems({}));
    expect([answer[0], ...answer.subarray(7)]).toEqual([REJECT, 2, 3, 1]);
    await ask(withItems({}));
    expect(refusals.map(({ code }) => code)).toEqual(['RATE_LIMIT', 'RATE_LIMIT']);
    // Once at warn, so that knocking does not fill the log.
    expect(warnings.filter((line) => line.includes('RATE_LIMIT'))).toHaveLength(1);
  });
});

describe('an acceptance answers', () => {
  it('nothing that was not asked', async () => {
    await start();
    const answer = await ask(withItems({}));
    expect(answer[0]).toBe(ACCEPT);
    expect(itemTypes(answer)).toEqual([0x51, 0x52, 0x55]);
    expect(readUserItems(answer).maxPduBytes).toBe(65_536);
  });

  it('each item that was asked, once, and no more than was asked', async () => {
    await start();
    const roles = [CT, COMMITMENT].map((sopClassUid) => ({ sopClassUid, scu: true, scp: true }));
    const extended = [{ sopClassUid: CT, information: Buffer.from([3, 0, 0, 0, 2, 0]) }];
    const userIdentity = {
      type: 1,
      responseRequested: true,
      primary: Buffer.from('ct1'),
      secondary: Buffer.alloc(0),
    };
    const asyncOperations = { invoked: 0, performed: 1 };
    const answer = await ask(withItems({ asyncOperations, roles, extended, userIdentity }));
    expect(itemTypes(answer)).toEqual([0x51, 0x52, 0x53, 0x54, 0x54, 0x55, 0x56, 0x59]);
    expect(readUserItems(answer)).toMatchObject({
      asyncOperations: { invoked: 16, performed: 1 },
      roles: [
        { sopClassUid: CT, scu: true, scp: false },
        { sopClassUid: COMMITMENT, scu: true, scp: true },
      ],
      extended: [{ sopClassUid: CT, information: Buffer.from([2, 0, 3, 0, 0, 0]) }],
      userIdentityResponse: Buffer.alloc(0),
    });
  });

  it('128 contexts, each with its role', async () => {
    await start();
    const abstracts = Array.from({ length: 128 }, (_, n) => (n % 2 === 0 ? CT : `1.2.3.${n}`));
    const roles = [...new Set(abstracts)].map((sopClassUid) => ({ sopClassUid, scu: true, scp: false }));
    const answer = await ask(withItems({ roles }, abstracts));
    expect(resultsIn(answer)).toEqual(abstracts.map((uid) => (uid === CT ? IMPLICIT : 3)));
    expect(readUserItems(answer).roles).toEqual([{ sopClassUid: CT, scu: true, scp: false }]);
  });

  it('a PACS that reports with the service alone', async () => {
    await start();
    const pdu = withItems({}, [CT, VERIFICATION, COMMITMENT]);
    pdu.write('PACS'.padEnd(16), 26, 'latin1');
    expect(resultsIn(await ask(pdu))).toEqual([3, IMPLICIT, EXPLICIT]);
  });
});

describeWith('dcmtk', 'with DCMTK, a user', () => {
  const users = () => ({
    users: [{ name: 'ct1', passwordFile }, { name: 'guest' }],
    required: true,
  });
  const send = async (...args: readonly string[]) => {
    const [instance] = await makeStudy({ kind: 'ct', slices: 1, rows: 32, out: join(folder, 'user') });
    return storescu([instance?.path ?? ''], { port: scp.port, args });
  };

  it.each([
    ['without a name', []],
    ['with a name that is unknown', ['-usr', 'ct2', '-pwd', 'open sesame']],
    ['with a wrong password', ['-usr', 'ct1', '-pwd', 'open barley']],
    ['with an empty password', ['-usr', 'ct1', '-epw']],
    ['with a name alone', ['-usr', 'ct1']],
    ['with a web token', ['--jwt', 'PASSWORD_FILE']],
  ])('%s is rejected, and no password is told', async (_title, args) => {
    await start({ users: users() });
    const result = await send(...args.map((arg) => (arg === 'PASSWORD_FILE' ? passwordFile : arg)));
    expect(result.code).not.toBe(0);
    expect(result.output).toMatch(/Rejected/i);
    expect(refusals).toEqual([expect.objectContaining({ code: 'USER_UNKNOWN', reason: expect.any(String) })]);
    expect(opened).toEqual([]);
    expect(JSON.stringify([log, refusals])).not.toMatch(/sesame|barley/);
  });

  it.each([
    ['with name and password', ['-usr', 'ct1', '-pwd', 'open sesame'], 'ct1'],
    ['with the positive response that it wants', ['-usr', 'ct1', '-pwd', 'open sesame', '-rsp'], 'ct1'],
    ['of no password', ['-usr', 'guest', '-rsp'], 'guest'],
  ])('%s sends, and is named in the log', async (_title, args, name) => {
    await start({ users: users() });
    expect(await send(...args)).toMatchObject({ code: 0 });
    expect(refusals).toEqual([]);
    expect(log.join()).toContain(`"userName":"${name}"`);
    expect(log.join()).not.toContain('sesame');
  });

  it('is named in the log, and not checked, where there are no users', async () => {
    await start();
    expect(await send('-usr', 'somebody', '-pwd', 'whatever', '-rsp')).toMatchObject({ code: 0 });
    expect(log.join()).toContain('"userName":"somebody"');
    expect(log.join()).not.toContain('whatever');
    expect((await echoscu({ port: scp.port })).code).toBe(0);
  });
});

/** Requests on one association: how many at a time, which are refused, and what a service and its peer say to each other. */
import { afterEach, expect, it } from 'vitest';
import { COMMAND_FIELDS, formatCommandSet, parseCommandSet } from '../../src/dimse/command-set.js';
import { type Scp, type ScpOptions, startScp } from '../../src/dimse/scp.js';
import type { AssociationService, ServicePeer } from '../../src/dimse/service.js';
import type { StoreHandler } from '../../src/dimse/store-scp.js';
import { addUserItems } from '../../src/dimse/user-items.js';
import { silentLog } from '../../src/observe/log.js';
import { until } from '../support/until.js';
import {
  associateRequest,
  type Caller,
  CT,
  commandSet,
  data,
  dial,
  echoRequest,
  formatDataPdu,
  RELEASE_REQUEST,
  STORE_CONTEXT,
  storeRequest,
} from './dimse-scp-caller.js';

const COMMITMENT = '1.2.840.10008.1.20.1';
const SERVICE_CONTEXT = 5;
const SUCCESS = 0;

let scp: Scp | undefined;
let caller: Caller | undefined;

afterEach(async () => {
  caller?.socket.destroy();
  await scp?.close(0);
});

/** Instances whose commit ends when the test says so. */
function gated() {
  const waiting = new Map<string, () => void>();
  const handler: StoreHandler = {
    begin: async ({ sopInstanceUid }) => ({
      write: () => undefined,
      commit: () => new Promise((resolve) => waiting.set(sopInstanceUid, resolve)),
      discard: async () => undefined,
    }),
  };
  return { handler, waiting };
}

const open = async (asked: number, overrides: Partial<ScpOptions> = {}): Promise<Caller> => {
  scp = await startScp({
    host: '127.0.0.1',
    port: 0,
    policy: { calledAes: ['DRAWBRIDGE'], callers: [], anyCaller: true, privateSopClasses: [] },
    handler: gated().handler,
    log: silentLog,
    idleTimeoutMs: 5_000,
    acceptTimeoutMs: 5_000,
    maxAssociations: 5,
    maxAssociationsPerCaller: 5,
    maxPduBytes: 16_384,
    maxInstanceBytes: 100_000,
    asyncOperations: 3,
    ...overrides,
  });
  const dialled = await dial(scp.port);
  const contexts = [
    [1, CT],
    [3, '1.2.840.10008.1.1'],
    [SERVICE_CONTEXT, COMMITMENT],
  ] as const;
  dialled.send(
    addUserItems(associateRequest(contexts), { asyncOperations: { invoked: asked, performed: 1 } }),
  );
  await until(() => dialled.received()[0] === 2, { what: 'A-ASSOCIATE-AC' });
  caller = dialled;
  return dialled;
};

const instance = (uid: string, messageId: number) =>
  Buffer.concat([storeRequest(uid, messageId), data(Buffer.from('data'), true)]);

it('as many instances are committed at once as was negotiated, the next is not begun, and answers come as they are ready', async () => {
  const { handler, waiting } = gated();
  const peer = await open(0, { handler });
  peer.send(...[1, 2, 3, 4].map((id) => instance(`1.2.${id}`, id)));
  await until(() => waiting.size === 3, { what: 'three are being committed' });
  waiting.get('1.2.2')?.();
  await until(() => waiting.has('1.2.4'), { what: 'the fourth has its turn' });
  expect(peer.statuses()).toEqual([SUCCESS]);
  for (const uid of ['1.2.1', '1.2.3', '1.2.4']) waiting.get(uid)?.();
  await until(() => peer.statuses().length === 4, { what: 'all are answered' });
  peer.send(RELEASE_REQUEST);
  await peer.ended;
});

it('a message id that is in use is answered with Duplicate Invocation, and its data set dropped', async () => {
  const { handler, waiting } = gated();
  const peer = await open(2, { handler });
  peer.send(instance('1.2.1', 7), instance('1.2.2', 7));
  await until(() => peer.statuses().length === 1, { what: 'the second one is answered' });
  expect([peer.statuses(), [...waiting.keys()]]).toEqual([[0x0210], ['1.2.1']]);
  waiting.get('1.2.1')?.();
  await until(() => peer.statuses()[1] === SUCCESS, { what: 'the first one is answered' });
});

it('a SOP class that is not that of its context is refused with 0x0122, and the association goes on', async () => {
  const peer = await open(1);
  const sopClass = '1.2.840.10008.5.1.4.1.1.4';
  const set = commandSet({ field: 0x0001, sopClass, hasDataSet: true, sopInstance: '1.2.3' });
  peer.send(formatDataPdu(STORE_CONTEXT, true, true, set), data(Buffer.from('data'), true), echoRequest(2));
  await until(() => peer.statuses().length === 2, { what: 'both are answered' });
  expect(peer.statuses()).toEqual([0x0122, SUCCESS]);
});

it('a release waits until all is answered', async () => {
  const { handler, waiting } = gated();
  const peer = await open(2, { handler });
  peer.send(instance('1.2.1', 1), RELEASE_REQUEST);
  await until(() => waiting.size === 1, { what: 'it is being committed' });
  waiting.get('1.2.1')?.();
  await peer.ended;
  expect(peer.statuses()).toEqual([SUCCESS]);
  expect(peer.received().at(-10)).toBe(6);
});

const action = (dataSet: Buffer) => {
  const set = formatCommandSet({
    commandField: COMMAND_FIELDS.nActionRequest,
    hasDataSet: true,
    messageId: 9,
    requestedSopClassUid: COMMITMENT,
    requestedSopInstanceUid: '1.2.840.10008.1.20.1.1',
    actionTypeId: 1,
  });
  return Buffer.concat([
    formatDataPdu(SERVICE_CONTEXT, true, true, set),
    formatDataPdu(SERVICE_CONTEXT, false, true, dataSet),
  ]);
};

it('a service gets its data set whole, up to its bound, and what it throws is a processing failure', async () => {
  const served: string[] = [];
  const service: AssociationService = {
    sopClassUids: [COMMITMENT],
    maxDataSetBytes: 10,
    async serve({ dataSet }) {
      served.push(String(dataSet));
      if (served.length > 1) throw new Error('no');
      return { status: SUCCESS };
    },
  };
  const peer = await open(1, { services: [service] });
  peer.send(action(Buffer.from('0123456789')), action(Buffer.alloc(11)), action(Buffer.from('x')));
  await until(() => peer.statuses().length === 3, { what: 'all are answered' });
  expect(peer.statuses()).toEqual([SUCCESS, 0x0213, 0x0110]);
  expect(served).toEqual(['0123456789', 'x']);
});

it('a service asks its peer while it is being asked, and hears of the end of the association', async () => {
  let ended: unknown;
  let asking: ServicePeer | undefined;
  const request = {
    sopClassUid: COMMITMENT,
    commandField: COMMAND_FIELDS.nEventReportRequest,
    sopInstanceUid: '1.2.840.10008.1.20.1.1',
    typeId: 1,
    dataSet: () => Buffer.alloc(40_000, 'r'),
  };
  const service: AssociationService = {
    sopClassUids: [COMMITMENT],
    maxDataSetBytes: 10,
    async serve(_request, peer) {
      asking = peer;
      return { status: (await peer.invoke(request)).status ?? -1 };
    },
  };
  const peer = await open(1, { services: [service] });
  peer.send(action(Buffer.from('x')));
  const isAsked = () => peer.received().toString('latin1').split('r').length > 40_000;
  await until(isAsked, { what: 'the report is there' });
  const answer = formatCommandSet({
    commandField: COMMAND_FIELDS.nEventReportResponse,
    hasDataSet: false,
    messageIdBeingRespondedTo: 1,
    status: 0x0117,
  });
  expect(parseCommandSet(answer).status).toBe(0x0117);
  peer.send(formatDataPdu(SERVICE_CONTEXT, true, true, answer));
  await until(() => peer.statuses().at(-1) === 0x0117, { what: 'the request is answered with it' });
  asking?.invoke(request).catch((error: unknown) => {
    ended = error;
  });
  peer.socket.destroy();
  await until(() => ended !== undefined, { what: 'the second report fails' });
  expect(ended).toMatchObject({ code: 'PACS_UNREACHABLE' });
  expect(asking?.signal.aborted).toBe(true);
});

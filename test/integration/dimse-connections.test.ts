/** Connections on which nothing is asked for: they take places, and give them to whoever comes with something to say. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Scp, startScp } from '../../src/dimse/scp.js';
import { silentLog } from '../../src/observe/log.js';
import { until } from '../support/until.js';
import { associate, type Caller, dial, echo, echoRequest } from './dimse-scp-caller.js';

/** As many places as there are: those of associations, and the spare ones. */
const PLACES = 2 + 64;

let scp: Scp;
const sockets: Socket[] = [];
const warnings: unknown[] = [];

beforeEach(async () => {
  warnings.length = 0;
  scp = await startScp({
    host: '127.0.0.1',
    port: 0,
    policy: { calledAes: ['DRAWBRIDGE'], callers: [], anyCaller: true, privateSopClasses: [] },
    handler: { begin: () => Promise.reject(new Error('nothing is stored here')) },
    log: { ...silentLog, warn: (facts: object) => warnings.push(facts) } as typeof silentLog,
    idleTimeoutMs: 60_000,
    acceptTimeoutMs: 60_000,
    maxAssociations: 2,
    maxAssociationsPerCaller: 2,
    maxPduBytes: 65_536,
    maxInstanceBytes: 1e6,
  });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await scp.close(0);
});

const fill = async (count: number): Promise<readonly Caller[]> => {
  const silent: Caller[] = [];
  for (let n = 0; n < count; n += 1) silent.push(await dial(scp.port));
  sockets.push(...silent.map(({ socket }) => socket));
  return silent;
};

/** From another address of this machine. */
const dialFrom = async (localAddress: string): Promise<Socket> => {
  const socket = connect({ port: scp.port, host: '127.0.0.1', localAddress });
  socket.on('error', () => undefined);
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
};

it('a host that fills every place with silence loses its oldest ones to those who come, and no open association', async () => {
  const early = await associate(scp.port);
  sockets.push(early.socket);
  const silent = await fill(PLACES + 20);
  await echo(scp.port);
  await Promise.all(silent.slice(0, 20).map(({ ended }) => ended));
  expect(silent.at(-1)?.socket.destroyed).toBe(false);
  early.send(echoRequest());
  await until(() => early.statuses().length === 1, { what: 'the association that was open is answered' });
  const told = warnings.filter((facts) => JSON.stringify(facts).includes('dimse.connections_full'));
  expect(told).toHaveLength(1);
});

it.runIf(process.platform === 'linux')(
  'a silent connection of another host, though older than all, stays when one host fills the places',
  async () => {
    const bystander = await dialFrom('127.0.0.2');
    const [first] = await fill(PLACES);
    await first?.ended;
    await echo(scp.port);
    expect(bystander.destroyed).toBe(false);
  },
);

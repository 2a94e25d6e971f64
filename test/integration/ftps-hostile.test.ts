/** Servers that are not what they seem: a scripted one over real TLS, which does what no proper server would. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { createFtpsTransport, type FtpsOptions } from '../../src/transport/ftps/transport.js';
import { makeSealedEnvelope } from '../conformance/sealed-envelopes.js';
import { makeCertificate, type TestCertificate } from '../support/certificates.js';
import { describeWith } from '../support/tools.js';
import { codeOf } from '../unit/jmix/support/sealing.js';

const signal = new AbortController().signal;
const TIMEOUTS = { connectMs: 1_000, replyMs: 1_000, stallMs: 300, storedMs: 1_000, idleMs: 1_000 };

interface Script {
  /** Instead of the usual answers, by the command's verb; undefined: none at all. */
  readonly answers?: Readonly<Record<string, string | undefined>>;
  /** Shown on data connections instead of the control connection's certificate. */
  readonly dataCertificate?: TestCertificate;
}

let scratch: string;
let own: TestCertificate;
let other: TestCertificate;
const open: { close(): void }[] = [];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'ftps-hostile-'));
  [own, other] = await Promise.all([makeCertificate('localhost'), makeCertificate('localhost')]);
});

afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

/** Knows everything that putting needs, as long as the script says nothing else. */
async function play(script: Script) {
  const heard: string[] = [];
  let stored = 0;
  const sockets = new Set<Socket>();
  const data = await listen((socket) => {
    sockets.add(socket);
    const { certificate, privateKey } = script.dataCertificate ?? own;
    const secure = new TLSSocket(socket, { isServer: true, cert: certificate, key: privateKey });
    secure.on('error', () => undefined);
    secure.on('data', (bytes: Buffer) => {
      stored += bytes.length;
    });
  });
  const port = (data.address() as AddressInfo).port;
  const usual: Record<string, string> = {
    AUTH: '234 go on',
    USER: '331 and?',
    PASS: '230 welcome',
    PBSZ: '200 0',
    PROT: '200 private',
    TYPE: '200 binary',
    FEAT: '211 none',
    SIZE: '550 no such file',
    EPSV: `229 here (|||${port}|)`,
    APPE: '150 give',
  };
  const control = await listen((socket) => {
    sockets.add(socket);
    const talk = (line: Socket) => {
      line.on('error', () => undefined);
      line.on('data', (bytes: Buffer) => {
        for (const command of bytes.toString().split('\r\n').filter(Boolean)) {
          heard.push(command);
          const verb = command.split(' ')[0] ?? '';
          const answers = { ...usual, ...script.answers };
          const answer = verb in answers ? answers[verb] : '500 what?';
          if (answer !== undefined) line.write(`${answer}\r\n`);
          if (verb !== 'AUTH' || !answer?.startsWith('2')) continue;
          line.removeAllListeners('data');
          talk(new TLSSocket(line, { isServer: true, cert: own.certificate, key: own.privateKey }));
        }
      });
    };
    talk(socket);
    socket.write('220 hello\r\n');
  });
  open.push({
    close() {
      for (const socket of sockets) socket.destroy();
    },
  });
  const transport = (options: Partial<FtpsOptions> = {}) => {
    const made = createFtpsTransport({
      host: '127.0.0.1',
      port: (control.address() as AddressInfo).port,
      user: 'somebody',
      password: 'secret',
      trust: { certificateFingerprints: [own.fingerprint] },
      outbox: 'box',
      afterTaking: 'delete',
      claimer: 'ab'.repeat(8),
      timeouts: TIMEOUTS,
      ...options,
    });
    open.push(made);
    return made;
  };
  return { heard, stored: () => stored, transport };
}

async function listen(onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(server);
  return server;
}

const seal = async () => makeSealedEnvelope(await mkdtemp(join(scratch, 'sealed-')), { bytes: 100_000 });

describeWith('openssl', 'a server that', () => {
  it('shows another certificate than the pinned one, hears neither user nor password', async () => {
    const server = await play({});
    const transport = server.transport({ trust: { certificateFingerprints: [other.fingerprint] } });
    expect(await codeOf(transport.put(await seal(), { signal }))).toBe('PEER_UNTRUSTED');
    expect(server.heard).toEqual(['AUTH TLS']);
  });

  it('is somebody else on the data connection, gets not one byte of an envelope', async () => {
    const server = await play({ dataCertificate: other });
    expect(await codeOf(server.transport().put(await seal(), { signal }))).toBe('PEER_UNTRUSTED');
    expect(server.heard.at(-1)).toMatch(/^APPE /);
    expect(server.stored()).toBe(0);
  });

  it('will not encrypt the control connection, hears neither user nor password', async () => {
    const server = await play({ answers: { AUTH: '502 no TLS here' } });
    expect(await codeOf(server.transport().put(await seal(), { signal }))).toBe('PEER_REFUSED');
    expect(server.heard).toEqual(['AUTH TLS']);
  });

  it('will not encrypt data connections, gets none', async () => {
    const server = await play({ answers: { PROT: '536 only clear' } });
    expect(await codeOf(server.transport().put(await seal(), { signal }))).toBe('PEER_REFUSED');
    expect(server.heard.filter((command) => /^(EPSV|PASV|SIZE)/.test(command))).toEqual([]);
  });

  it('wants the data at another address, does not get them', async () => {
    const server = await play({ answers: { EPSV: '522 no', PASV: '227 there (10,0,0,1,4,1)' } });
    expect(await codeOf(server.transport().put(await seal(), { signal }))).toBe('PEER_REFUSED');
    expect(server.stored()).toBe(0);
  });

  it.each(['AUTH', 'USER', 'SIZE', 'EPSV', 'APPE'])('never answers %s, is given up', async (verb) => {
    const server = await play({ answers: { [verb]: undefined } });
    expect(await codeOf(server.transport().put(await seal(), { signal }))).toBe('PEER_UNREACHABLE');
  });

  it('takes every byte and never says so, may have the envelope', async () => {
    const server = await play({});
    expect(await codeOf(server.transport().put(await seal(), { signal }))).toBe('SHIP_UNCONFIRMED');
  });

  it.each([
    ['421 too many connections', 'PEER_BUSY'],
    ['530 who are you', 'PEER_REFUSED'],
    ['430 who are you', 'PEER_REFUSED'],
    ['451 my disk', 'PEER_BUSY'],
  ])('answers PASS with %s, gives %s', async (answer, code) => {
    const server = await play({ answers: { PASS: answer } });
    expect(await codeOf(server.transport().put(await seal(), { signal }))).toBe(code);
  });

  it.each([
    ['452 full', 'QUOTA_EXCEEDED'],
    ['552 full', 'QUOTA_EXCEEDED'],
    ['425 no line', 'PEER_UNREACHABLE'],
    ['421 going down', 'PEER_BUSY'],
  ])('answers APPE with %s, gives %s', async (answer, code) => {
    const server = await play({ answers: { APPE: answer } });
    expect(await codeOf(server.transport().put(await seal(), { signal }))).toBe(code);
  });

  it('says yes to the login only when it is stopped, is left at once', async () => {
    const server = await play({ answers: { PASS: undefined } });
    const stop = new AbortController();
    const transport = server.transport({ timeouts: { ...TIMEOUTS, replyMs: 600_000 } });
    const put = codeOf(transport.put(await seal(), { signal: stop.signal }));
    setImmediate(() => stop.abort());
    expect(await put).toBe('CANCELLED');
  });
});

it.each(['a\r\nDELE b', 'a\0', '', ' a', '-a'])(
  'a folder called %j is not sent to any server',
  async (outbox) => {
    const server = await play({});
    const transport = server.transport({ outbox });
    expect(await codeOf(transport.put(await seal(), { signal }))).toBe('CONFIG_INVALID');
    expect(server.heard).toEqual([]);
  },
);

/** What becomes of an envelope when line, server or disk fail under it; real servers behind a line that is cut. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { partName } from '../../src/transport/exchange-names.js';
import { createFtpsTransport, type FtpsOptions } from '../../src/transport/ftps/transport.js';
import type { OutgoingEnvelope, Transport } from '../../src/transport/transport.js';
import { archiveOf, makeSealedEnvelope } from '../conformance/sealed-envelopes.js';
import { makeCertificate } from '../support/certificates.js';
import { type CuttingProxy, randomCuts, startCuttingProxy } from '../support/cutting-proxy.js';
import { type FtpServer, type FtpServerOptions, startFtpServer } from '../support/ftp-servers.js';
import { describeWith } from '../support/tools.js';
import { codeOf } from '../unit/jmix/support/sealing.js';

const MIB = 1024 * 1024;
const SEED = 20_261_121;
const TIMEOUTS = { connectMs: 3_000, replyMs: 3_000, stallMs: 700, storedMs: 3_000, idleMs: 5_000 };
/** Headers and handshakes, and what TLS adds to each 16 KiB. */
const TLS_SHARE = 1.02;
/** What a cut connection may have carried that never reached the file: buffers on the way, of each that was cut. */
const LOST_PER_CUT = 6 * MIB;

/** What a cut is called depends on who notices first. */
const TRY_AGAIN = ['PEER_UNREACHABLE', 'PEER_BUSY', 'ENVELOPE_INCOMPLETE'];

const signal = new AbortController().signal;
let scratch: string;
const endings: (() => void | Promise<void>)[] = [];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'ftps-failures-'));
});

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

async function serve(kind: FtpServer['kind'] = 'vsftpd', options: FtpServerOptions = {}): Promise<FtpServer> {
  const server = await startFtpServer(kind, options);
  endings.push(() => server.stop());
  await mkdir(join(server.folder, 'box'));
  await server.give(join(server.folder, 'box'));
  return server;
}

async function cutLine(server: FtpServer, cutsAll = false): Promise<CuttingProxy> {
  const { port, passivePorts } = server;
  const proxy = await startCuttingProxy({ target: { port, passivePorts }, cutKind: 'data', cutsAll });
  endings.push(() => proxy.stop());
  return proxy;
}

function reach(server: FtpServer, options: Partial<FtpsOptions> = {}): Transport {
  const transport = createFtpsTransport({
    host: server.host,
    port: server.port,
    user: server.user,
    password: server.password,
    trust: { certificateFingerprints: [server.fingerprint] },
    outbox: 'box',
    inbox: 'box',
    afterTaking: 'delete',
    claimer: 'ab'.repeat(8),
    timeouts: TIMEOUTS,
    ...options,
  });
  endings.push(() => transport.close());
  return transport;
}

const seal = async (bytes: number): Promise<OutgoingEnvelope> =>
  makeSealedEnvelope(await mkdtemp(join(scratch, 'sealed-')), { bytes });

/** Tries until it works, as a queue would; gives the codes of the attempts that failed. */
async function persist(attempt: () => Promise<void>, most: number): Promise<string[]> {
  const codes: string[] = [];
  for (;;) {
    const code = await codeOf(attempt());
    if (code === undefined) return codes;
    codes.push(code);
    if (codes.length === most) throw new Error(`still failing: ${codes.join(', ')}`);
  }
}

async function takeWhole(transport: Transport, sealed: OutgoingEnvelope): Promise<void> {
  const file = join(scratch, sealed.id);
  const [waiting] = await transport.list({ signal });
  if (waiting === undefined) throw new Error('nothing waits');
  await transport.take(waiting, file, { signal });
  expect((await readFile(file)).equals(await archiveOf(sealed))).toBe(true);
}

describe.each(['vsftpd', 'proftpd', 'pure-ftpd'] as const)(
  'a line that is cut every few megabytes: %s',
  (kind) => {
    describeWith([kind, 'openssl'], 'cut', () => {
      it('brings an envelope up and down whole, and sends again only what was under way', async () => {
        const server = await serve(kind);
        const line = await cutLine(server);
        const transport = reach(server, { host: line.host });
        const sealed = await seal(40 * MIB);
        const { length } = await archiveOf(sealed);

        const cutAt = randomCuts(SEED, 6 * MIB, 14 * MIB);
        line.cutAfter(() => cutAt());
        const upCodes = await persist(() => transport.put(sealed, { signal }), 20);
        expect(line.cuts).toBeGreaterThan(1);
        for (const code of upCodes) expect(TRY_AGAIN).toContain(code);
        expect(line.carried.data.up).toBeLessThan(length * TLS_SHARE + line.cuts * LOST_PER_CUT);
        expect(await readdir(join(server.folder, 'box'))).toEqual([`${sealed.id}.JMIX.tar`]);

        const before = { cuts: line.cuts, down: line.carried.data.down };
        const [waiting] = await transport.list({ signal });
        if (waiting === undefined) throw new Error('nothing waits');
        const file = join(scratch, `${sealed.id}-${kind}`);
        const downCodes = await persist(() => transport.take(waiting, file, { signal }), 20);
        for (const code of downCodes) expect(TRY_AGAIN).toContain(code);
        expect((await readFile(file)).equals(await archiveOf(sealed))).toBe(true);
        const cuts = line.cuts - before.cuts;
        expect(line.carried.data.down - before.down).toBeLessThan(length * TLS_SHARE + cuts * LOST_PER_CUT);
      }, 60_000);
    });
  },
);

describeWith(['vsftpd', 'openssl'], 'a line that is lost', () => {
  it('after the last byte, leaves it open whether the envelope arrived, and finds out later', async () => {
    const server = await serve();
    const line = await cutLine(server);
    const transport = reach(server, { host: line.host });
    const sealed = await seal(3 * MIB);
    const put = transport.put(sealed, {
      signal,
      onSent: async () => {
        line.cutNow();
      },
    });
    expect(await codeOf(put)).toBe('SHIP_UNCONFIRMED');
    expect(await transport.probe(sealed, signal)).toBe('absent');
    await persist(() => transport.put(sealed, { signal }), 3);
    expect(await transport.probe(sealed, signal)).toBe('same');
    await takeWhole(transport, sealed);
  });

  it('in silence, is given up, and what was sent is not sent again', async () => {
    const server = await serve();
    const line = await cutLine(server);
    const transport = reach(server, { host: line.host });
    // What is missing when the line falls silent must be more than all buffers on the way can hold.
    const size = 80 * MIB;
    const sealed = await seal(size);
    let sent = 0;
    const put = transport.put(sealed, {
      signal,
      onBytes(count) {
        sent += count;
        if (sent > 20 * MIB) line.stall();
      },
    });
    expect(await codeOf(put)).toBe('PEER_UNREACHABLE');
    line.cutNow();
    line.resume();
    let again = 0;
    await transport.put(sealed, {
      signal,
      onBytes(count) {
        again += count;
      },
    });
    expect(again).toBeLessThan(size - 10 * MIB);
    await takeWhole(transport, sealed);
  });
});

describeWith(['vsftpd', 'openssl'], 'a server', () => {
  it('killed in the middle and started again, gets the rest of the envelope', async () => {
    const server = await serve();
    const transport = reach(server);
    const sealed = await seal(30 * MIB);
    let sent = 0;
    let killed: Promise<void> | undefined;
    const put = transport.put(sealed, {
      signal,
      onBytes(count) {
        sent += count;
        if (sent > 12 * MIB) killed ??= server.kill();
      },
    });
    expect(await codeOf(put)).toBe('PEER_UNREACHABLE');
    await killed;
    expect(await codeOf(transport.put(sealed, { signal }))).toBe('PEER_UNREACHABLE');
    await server.restart();
    await transport.put(sealed, { signal });
    await takeWhole(transport, sealed);
  });

  it('that takes no more connections, is asked again later', async () => {
    const server = await serve('vsftpd', { maxClients: 1 });
    const first = reach(server);
    await first.list({ signal });
    expect(await codeOf(reach(server).list({ signal }))).toBe('PEER_BUSY');
    await first.list({ signal });
  });

  it('that answers one client too many like a wrong password, is asked again by who was let in before', async () => {
    const server = await serve('proftpd', { maxClients: 1 });
    const known = reach(server);
    await known.list({ signal });
    // One of them has the connection that is kept; the other needs a second one.
    const codes = await Promise.all([1, 2].map(() => codeOf(known.list({ signal }))));
    expect(codes.sort()).toEqual(['PEER_BUSY', undefined]);
  });

  it('with another password, is not asked to take an envelope, and the password is in no message', async () => {
    const server = await serve();
    const password = 'not-the-password';
    const error: unknown = await reach(server, { password })
      .put(await seal(10), { signal })
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'PEER_REFUSED' });
    expect(`${error} ${JSON.stringify(error)}`).not.toContain(password);
  });

  it('with another certificate than the pinned one, or from a CA that nobody knows, learns nothing', async () => {
    const server = await serve();
    const pinned = reach(server, { trust: { certificateFingerprints: ['0'.repeat(64)] } });
    const unknown = reach(server, { trust: { certificateFingerprints: [] } });
    for (const transport of [pinned, unknown]) {
      expect(await codeOf(transport.put(await seal(10), { signal }))).toBe('PEER_UNTRUSTED');
    }
    expect(server.output()).not.toContain('USER');
  });

  it('whose certificate a configured CA has signed is trusted under its name, and under no other', async () => {
    const certificateAuthority = await readCa(await serve());
    expect(certificateAuthority).toContain('CERTIFICATE');
    const named = await serve('vsftpd', { certificate: { name: 'ftp.example.org' } });
    const trust = { certificateFingerprints: [], certificateAuthority: await readCa(named) };
    expect(await codeOf(reach(named, { trust }).list({ signal }))).toBe('PEER_UNTRUSTED');
    const local = await serve();
    const itsCa = { certificateFingerprints: [], certificateAuthority: await readCa(local) };
    expect(await reach(local, { trust: itsCa }).list({ signal })).toEqual([]);
  });

  it('that asks for a certificate gets it, and refuses whoever has none', async () => {
    const clientIdentity = await makeCertificate('bridge-a');
    const server = await serve('vsftpd', { requireClientCertificate: clientIdentity.certificate });
    expect(await reach(server, { clientIdentity }).list({ signal })).toEqual([]);
    expect(await codeOf(reach(server).list({ signal }))).toMatch(/^PEER_(REFUSED|UNREACHABLE)$/);
  });
});

describe.each(['vsftpd', 'proftpd', 'pure-ftpd'] as const)('one version of TLS: %s', (kind) => {
  describeWith([kind, 'openssl'], 'alone', () => {
    it.each(['1.2', '1.3'] as const)('%s, carries data in the session of the login', async (version) => {
      const server = await serve(kind, { tlsVersions: [version] });
      const transport = reach(server);
      const sealed = await seal(2 * MIB);
      await transport.put(sealed, { signal });
      await takeWhole(transport, sealed);
      await transport.acknowledge(sealed.id, 'taken', signal);
      expect(await transport.list({ signal })).toEqual([]);
    });
  });
});

const readCa = (server: FtpServer) => readFile(server.caFile, 'utf8');

const CODE_WHEN_FULL = {
  // Answers 451, which is all it ever says of a file that it cannot write.
  vsftpd: 'PEER_BUSY',
  proftpd: 'QUOTA_EXCEEDED',
  'pure-ftpd': 'QUOTA_EXCEEDED',
};

describe.each(['vsftpd', 'proftpd', 'pure-ftpd'] as const)('a full server: %s', (kind) => {
  describeWith([kind, 'openssl'], 'full', () => {
    it('gets nothing under the final name, and the rest when there is room', async () => {
      const server = await serve(kind, { quotaBytes: 8 * MIB });
      const transport = reach(server);
      const [first, second] = [await seal(5 * MIB), await seal(5 * MIB)];
      await transport.put(first, { signal });
      expect(await codeOf(transport.put(second, { signal }))).toBe(CODE_WHEN_FULL[kind]);
      expect((await transport.list({ signal })).map(({ id }) => id)).toEqual([first.id]);
      await takeWhole(transport, first);
      await transport.acknowledge(first.id, 'taken', signal);
      await transport.put(second, { signal });
      await takeWhole(transport, second);
    });
  });
});

describeWith(['vsftpd', 'openssl'], 'what lies there', () => {
  it.each(['of another envelope', 'longer than the archive'])('as a part, %s, makes way', async (what) => {
    const server = await serve();
    const transport = reach(server);
    const sealed = await seal(100_000);
    const { length } = await archiveOf(sealed);
    const part = join(server.folder, 'box', partName(sealed.id));
    await writeFile(part, Buffer.alloc(what.startsWith('of ') ? 50_000 : length + 1, 'x'));
    await server.give(part);
    await transport.put(sealed, { signal });
    await takeWhole(transport, sealed);
  });

  it('when two bridges put one envelope at once, is never taken for a whole one unless it is', async () => {
    const server = await serve();
    const transports = [reach(server), reach(server)];
    const sealed = await seal(8 * MIB);
    await Promise.all(transports.map((transport) => codeOf(transport.put(sealed, { signal }))));
    const [first] = transports;
    if (first === undefined) throw new Error('unreachable');
    await persist(() => first.put(sealed, { signal }), 3);
    await takeWhole(first, sealed);
  });

  it('is moved into done when it was taken, where the server is told so', async () => {
    const server = await serve();
    const transport = reach(server, { afterTaking: 'move' });
    const sealed = await seal(1_000);
    for (let round = 0; round < 2; round += 1) {
      await transport.put(sealed, { signal });
      await takeWhole(transport, sealed);
      await transport.acknowledge(sealed.id, 'taken', signal);
      await rm(join(scratch, sealed.id));
    }
    expect(await readdir(join(server.folder, 'box', 'done'))).toEqual([`${sealed.id}.JMIX.tar`]);
    expect(await transport.probe(sealed, signal)).toBe('same');
  });
});

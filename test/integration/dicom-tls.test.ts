/** DICOM over TLS with DCMTK at the other end: as a modality that sends to us, and as a PACS that we send to. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { findInputFiles } from '../../src/cli/input-files.js';
import type { DicomTls } from '../../src/dimse/dicom-tls.js';
import { echo } from '../../src/dimse/echo-scu.js';
import { type Scp, type ScpOptions, startScp } from '../../src/dimse/scp.js';
import { openScuAssociation } from '../../src/dimse/scu-association.js';
import type { AssociationInfo, StoreHandler } from '../../src/dimse/store-scp.js';
import { type StoreOutcome, storeInstances } from '../../src/dimse/store-scu.js';
import { parseAeTitle } from '../../src/domain/ae-title.js';
import { readBytesFrom } from '../../src/spool/instance-file.js';
import { makeAuthority } from '../support/certificate-authority.js';
import { echoscu, type Storescp, startStorescp, storescu } from '../support/dcmtk.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';
import { makeTlsSite, type TlsSite } from './dicom-tls-site.js';

const VERIFICATION = { sopClassUid: '1.2.840.10008.1.1', transferSyntaxUid: '1.2.840.10008.1.2' };

let site: TlsSite;
let dicomTls: DicomTls;
const ending: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  site = await makeTlsSite();
});
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
  await site.close();
});

/** DCMTK's options for a certificate that is written as NAME. */
const identity = async (name: string, request: Parameters<TlsSite['authority']['issue']>[0] = {}) => {
  await site.install(name, await site.authority.issue({ key: 'rsa', ...request }));
  return ['+tls', site.file(`${name}.key`), site.file(`${name}.pem`), '+cf', site.file('ca.pem')];
};

const makeFiles = async () => {
  const made = await makeStudy({ kind: 'ct', slices: 3, rows: 64, out: join(site.folder, 'study') });
  return made.map(({ path }: { readonly path: string }) => path);
};

const listening = async (server: Server): Promise<number> => {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  ending.push(async () => server.close());
  const address = server.address();
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
};

describeWith('dcmtk', 'a modality that sends with TLS', () => {
  let opened: AssociationInfo[];
  let stored: number;
  let refused: { readonly code: string; readonly reason?: string }[];

  const counting: StoreHandler = {
    associationOpened: (association) => opened.push(association),
    begin: async () => ({
      write: () => undefined,
      commit: async () => {
        stored += 1;
      },
      discard: async () => undefined,
    }),
  };
  const start = async (overrides: Partial<ScpOptions> = {}): Promise<Scp> => {
    dicomTls = await site.open();
    const scp = await startScp({
      host: '127.0.0.1',
      tls: { port: 0, dicomTls },
      policy: {
        calledAes: ['DRAWBRIDGE'],
        callers: [{ aeTitle: 'MODALITY' }],
        anyCaller: false,
        privateSopClasses: [],
      },
      handler: counting,
      log: site.log,
      idleTimeoutMs: 20_000,
      acceptTimeoutMs: 5_000,
      maxAssociations: 10,
      maxAssociationsPerCaller: 10,
      maxPduBytes: 128 * 1024,
      maxInstanceBytes: 1024 ** 3,
      refused: (refusal) => refused.push(refusal),
      ...overrides,
    });
    ending.push(() => scp.close(0));
    return scp;
  };
  beforeEach(() => {
    opened = [];
    refused = [];
    stored = 0;
  });

  it('is refused without a certificate, and the refusal is told with its reason', async () => {
    const scp = await start();
    const args = ['+tla', '+cf', site.file('ca.pem')];
    expect((await echoscu({ port: scp.tlsPort ?? 0, args })).code).not.toBe(0);
    await until(() => refused.length > 0);
    expect(refused[0]).toMatchObject({ code: 'CALLER_UNTRUSTED', reason: 'no certificate was shown' });
  });

  it('is refused as plain DICOM, and finds no plain port where there is none', async () => {
    const scp = await start();
    expect(scp.port).toBe(0);
    expect((await echoscu({ port: scp.tlsPort ?? 0 })).code).not.toBe(0);
    await until(() => refused.length > 0);
    expect(refused[0]?.reason).toContain('plain DICOM');
    expect(opened).toEqual([]);
  });

  it('is let in by profiles of BCP 195, and its association says how it is protected', async () => {
    const scp = await start({ port: 0 });
    const own = await identity('modality');
    for (const profile of ['+py', '+px', '+pz']) {
      const { code, output } = await echoscu({ port: scp.tlsPort ?? 0, args: [...own, profile] });
      expect(code, output).toBe(0);
    }
    expect(opened.map(({ tls }) => tls)).toContain('TLSv1.2');
    expect(opened.every(({ cipher }) => /_GCM_SHA/.test(cipher ?? ''))).toBe(true);
    expect(site.logged.filter(({ event }) => event === 'association.opened')[0]).toMatchObject({
      tls: opened[0]?.tls,
    });
    // The plain port beside it knows nothing of TLS.
    expect((await echoscu({ port: scp.port })).code).toBe(0);
    expect(opened.at(-1)?.tls).toBeUndefined();
  });

  it('calls in its own name alone, where that is tied to its certificate', async () => {
    const ct = await identity('ct', { host: 'ct1.example' });
    const mr = await identity('mr', { host: 'mr1.example' });
    const pinned = await site.authority.issue({ key: 'rsa', host: 'us1.example' });
    await site.install('us', pinned);
    const us = ['+tls', site.file('us.key'), site.file('us.pem'), '+cf', site.file('ca.pem')];
    const scp = await start({
      port: 0,
      policy: {
        calledAes: ['DRAWBRIDGE'],
        callers: [
          { aeTitle: 'CT1', certificates: ['ct1.example'] },
          { aeTitle: 'US1', certificates: [pinned.fingerprint] },
        ],
        anyCaller: false,
        privateSopClasses: [],
      },
    });
    const call = async (aeTitle: string, args: readonly string[], port = scp.tlsPort ?? 0) =>
      (await echoscu({ port, args: [...args, '-aet', aeTitle] })).code;
    expect(await call('CT1', ct)).toBe(0);
    expect(await call('US1', us)).toBe(0);
    expect(opened.map(({ callingAe, certificate }) => [callingAe, certificate?.length])).toEqual([
      ['CT1', 64],
      ['US1', 64],
    ]);
    expect(opened[1]?.certificate).toBe(pinned.fingerprint);
    expect(await call('CT1', mr)).not.toBe(0);
    expect(await call('US1', ct)).not.toBe(0);
    expect(await call('CT1', [], scp.port)).not.toBe(0);
    expect(refused.map(({ code }) => code)).toEqual(Array(3).fill('CALLING_AE_UNPROVED'));
    expect(refused[0]?.reason).toMatch(/may not call with the certificate [0-9a-f]{64}/);
    expect(refused[2]?.reason).toContain('with TLS and a certificate of its own alone');
  });

  it('stores a study, also while certificates are replaced, and needs the new one the next time', async () => {
    const scp = await start();
    const study = await makeFiles();
    const args = await identity('modality');
    const to = { port: scp.tlsPort ?? 0, args };
    const first = await storescu(study, to);
    expect(first.code, first.output).toBe(0);
    expect(stored).toBe(study.length);
    const other = await makeAuthority();
    await writeFile(site.file('ca.pem'), other.certificate);
    await until(() => site.logged.filter(({ event }) => event === 'dicom_tls.loaded').length >= 2);
    await writeFile(site.file('modality-ca.pem'), site.authority.certificate);
    const trusting = [...args.slice(0, -1), site.file('modality-ca.pem')];
    expect((await echoscu({ ...to, args: trusting })).code).not.toBe(0);
    await until(() => refused.length > 0);
    expect(refused[0]?.reason).toContain('a CA that is not known here');
  });
});

describeWith('dcmtk', 'a PACS that takes TLS', () => {
  const callingAe = parseAeTitle('DRAWBRIDGE');
  const startPacs = async (request: Parameters<typeof identity>[1] = {}) => {
    const pacs = await startStorescp({ args: await identity('pacs', request) });
    ending.push(() => pacs.stop());
    return pacs;
  };
  const addressOf = ({ port }: Pick<Storescp, 'port'>, host = 'localhost') => ({
    aeTitle: parseAeTitle('PACS'),
    host,
    port,
  });
  const call = (pacs: Pick<Storescp, 'port'>, host?: string) =>
    echo({
      pacs: addressOf(pacs, host),
      callingAe,
      timeoutMs: 5_000,
      connect: (to) => dicomTls.connect(to),
    });

  it('gets nothing when its certificate is of an unknown CA, for another host, or has expired', async () => {
    dicomTls = await site.open();
    const named = await startPacs({ host: 'elsewhere.example' });
    await expect(call(named)).rejects.toMatchObject({
      code: 'PACS_UNTRUSTED',
      message: expect.stringMatching(/^the certificate of localhost:\d+, [0-9a-f]{64}, .*another host name/),
    });
    const expired = await startPacs({ validDays: [-2, -1] });
    await expect(call(expired)).rejects.toMatchObject({
      code: 'PACS_UNTRUSTED',
      message: expect.stringContaining('it has expired at'),
    });
    await writeFile(site.file('ca.pem'), (await makeAuthority()).certificate);
    await until(() => site.logged.filter(({ event }) => event === 'dicom_tls.loaded').length >= 2);
    await expect(call(named)).rejects.toMatchObject({
      code: 'PACS_UNTRUSTED',
      message: expect.stringContaining('a CA that is not known here'),
    });
    expect(named.output()).not.toContain('Association Received');
  });

  it('does not take our certificate, and we say so', async () => {
    const pacs = await startPacs();
    const stranger = await (await makeAuthority()).issue({ key: 'rsa' });
    await site.install('own', stranger);
    dicomTls = await site.open();
    await expect(call(pacs)).rejects.toMatchObject({
      code: 'PACS_UNTRUSTED',
      message: expect.stringMatching(/does not take our certificate: unknown CA/),
    });
  });

  it('offers none of our suites, or no TLS at all, and we say so', async () => {
    dicomTls = await site.open();
    const weak = createTlsServer({
      cert: site.own.certificate,
      key: site.own.privateKey,
      maxVersion: 'TLSv1.2',
      ciphers: 'AES128-SHA:AES256-SHA256',
    }).on('tlsClientError', () => undefined);
    await expect(call({ port: await listening(weak) })).rejects.toMatchObject({
      code: 'PACS_UNTRUSTED',
      message: expect.stringContaining('agrees to none of our cipher suites'),
    });
    const plain = await startStorescp();
    ending.push(() => plain.stop());
    await expect(call(plain)).rejects.toMatchObject({ code: expect.stringMatching(/^PACS_UN/) });
    const http = createServer((socket) => {
      socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    await expect(call({ port: await listening(http) }, '127.0.0.1')).rejects.toMatchObject({
      code: 'PACS_UNTRUSTED',
      message: expect.stringContaining('does not speak TLS at this port'),
    });
  });

  it('closes after the handshake, which may mean our certificate, and we say so', async () => {
    dicomTls = await site.open();
    const { certificate, privateKey } = site.own;
    const closing = createTlsServer({ cert: certificate, key: privateKey }, (socket) => {
      socket.on('error', () => undefined).end();
    });
    await expect(call({ port: await listening(closing) })).rejects.toMatchObject({
      code: 'PACS_UNREACHABLE',
      message: expect.stringContaining('may not take our certificate'),
    });
  });

  it('does not answer the handshake, and we do not wait for ever', async () => {
    dicomTls = await site.open();
    const silent = createServer(() => undefined);
    const asked = openScuAssociation({
      pacs: addressOf({ port: await listening(silent) }, '127.0.0.1'),
      callingAe,
      contexts: [VERIFICATION],
      connectTimeoutMs: 300,
      connect: (to) => dicomTls.connect(to),
    });
    await expect(asked).rejects.toMatchObject({ code: 'PACS_UNREACHABLE' });
  });

  it('is known by its pin, whatever its name, and gets a study bit for bit', async () => {
    const { caFile: _, ...files } = site.files;
    const pinned = await (await makeAuthority()).issue({ key: 'rsa', host: 'elsewhere.example' });
    const args = await identity('pacs');
    await site.install('pacs', pinned);
    const pacs = await startStorescp({ args });
    ending.push(() => pacs.stop());
    dicomTls = await site.open({ files, pins: [pinned.fingerprint] });
    await expect(call(pacs)).resolves.toHaveProperty('roundTripMs');
    const study = await makeFiles();
    const { instances } = await findInputFiles(study);
    const outcomes: StoreOutcome[] = [];
    await storeInstances({
      pacs: addressOf(pacs),
      callingAe,
      instances: instances.map((instance) => ({
        ...instance,
        sizeBytes: instance.dataSetBytes,
        open: () => readBytesFrom(instance.path, instance.dataSetOffset),
      })),
      connect: (to) => dicomTls.connect(to),
      onOutcome: (outcome) => void outcomes.push(outcome),
    });
    expect(outcomes.map(({ result }) => result)).toEqual(study.map(() => 'stored'));
  });
});

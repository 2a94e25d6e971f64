/**
 * Two sites with no listener between them, and an FTPS server on a bad line: the connection is cut every few megabytes,
 * the server is killed and comes back. At the end every instance is at its PACS once, bit for bit, and no byte went
 * over the line much more often than it had to.
 */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { makePairVia, type TestBridge } from '../support/bridge.js';
import { type CuttingProxy, randomCuts, startCuttingProxy } from '../support/cutting-proxy.js';
import { readDataSets, storedIn } from '../support/data-sets.js';
import { storescu } from '../support/dcmtk.js';
import { type FtpServer, startFtpServer } from '../support/ftp-servers.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const LONG_MS = 240_000;
const MIB = 1024 * 1024;
/** What is on its way when the line is cut is lost: the buffers of sockets and proxy, for each cut. */
const LOST_AT_A_CUT = 2 * MIB;

describeWith(['dcmtk', 'orthanc', 'redis', 'vsftpd'], 'two sites with an FTPS server between them', () => {
  let files = '';
  let bridges: TestBridge[] = [];
  let archives: Orthanc[] = [];
  let server: FtpServer | undefined;
  let line: CuttingProxy | undefined;

  afterEach(async () => {
    await Promise.all([...bridges.map((each) => each.remove()), ...archives.map((each) => each.stop())]);
    await line?.stop();
    await server?.stop();
    await rm(files, { recursive: true, force: true });
    bridges = [];
    archives = [];
  }, LONG_MS);

  /** The server with an inbox for each site, reached over a line that is cut after so many bytes. */
  const raise = async (cutAfter?: () => number) => {
    files = await mkdtemp(join(tmpdir(), 'drawbridge-files-'));
    const there = await startFtpServer('vsftpd', { users: { 'site-a': '', 'site-b': '' } });
    server = there;
    for (const site of ['site-a', 'site-b']) {
      await mkdir(join(there.folder, site));
      await there.give(join(there.folder, site));
    }
    const between = await startCuttingProxy({
      target: { port: there.port, passivePorts: there.passivePorts },
      ...(cutAfter === undefined ? {} : { cutAfter }),
    });
    line = between;
    archives = [await startOrthanc({ aeTitle: 'PACS_A' }), await startOrthanc({ aeTitle: 'PACS_B' })];
    const { a, b } = await makePairVia(
      (site) => [
        {
          name: 'town',
          type: 'ftps',
          host: between.host,
          port: between.port,
          user: site,
          passwordFile: 'ftps.password',
          certificateFingerprints: [there.fingerprint],
          outbox: '/{peer}',
          inbox: '/{site}',
          pollSeconds: 1,
        },
      ],
      (site) => {
        const archive = archives[site === 'site-a' ? 0 : 1];
        return [{ name: 'main', aeTitle: archive?.aeTitle, host: '127.0.0.1', port: archive?.dicomPort }];
      },
    );
    bridges = [a, b];
    for (const bridge of bridges) {
      await writeFile(join(bridge.folder, 'ftps.password'), `${there.users[bridge.id]?.password}\n`);
    }
    await Promise.all(bridges.map((bridge) => bridge.start()));
    return { a, b, server: there, line: between };
  };

  const send = async (bridge: TestBridge, kind: 'ct' | 'mr', slices: number) => {
    const made = await makeStudy({ kind, out: join(files, `${bridge.id}-${kind}`), slices, rows: 512 });
    const paths = made.map(({ path }) => path);
    const result = await storescu(paths, { port: bridge.dimsePort, args: ['-xe'] });
    expect(result.code, result.output).toBe(0);
    return paths;
  };

  const verified = (bridge: TestBridge) =>
    until(async () => (await bridge.deliveries()).find(({ state }) => state === 'verified'), {
      timeoutMs: 150_000,
      what: `the delivery of ${bridge.id} is verified`,
    });

  it(
    'exchange studies both ways, though the line breaks every few megabytes and the server dies meanwhile',
    async () => {
      const random = randomCuts(20261121, 2 * MIB, 5 * MIB);
      const { a, b, server: there, line: between } = await raise(random);
      const sent = [await send(a, 'ct', 40), await send(b, 'mr', 40)];
      await until(() => between.cuts >= 4, { timeoutMs: 60_000, what: 'the line was cut' });
      await there.restart();
      for (const [index, bridge] of [a, b].entries()) {
        await verified(bridge);
        const stored = await storedIn(archives[1 - index] as Orthanc);
        expect(stored).toEqual(await readDataSets(sent[index] ?? []));
      }
      await until(async () => (await left(there)).length === 0, { what: 'the inboxes are empty' });

      const deliveries = (await Promise.all([a, b].map((bridge) => bridge.deliveries()))).flat();
      expect(deliveries, 'one envelope for each study').toHaveLength(2);
      const sealed = deliveries.reduce((sum, each) => sum + (each.sealed?.sizeBytes ?? 0), 0);
      const { up, down } = between.carried.data;
      expect(between.cuts).toBeGreaterThan(8);
      expect(up, 'bytes that went up').toBeGreaterThan(sealed);
      expect(up).toBeLessThan(sealed + between.cuts * LOST_AT_A_CUT);
      expect(down, 'bytes that came down').toBeGreaterThan(sealed);
      expect(down).toBeLessThan(sealed + between.cuts * LOST_AT_A_CUT);
    },
    LONG_MS,
  );
});

/** What lies on the server, in whichever inbox. */
async function left(server: FtpServer): Promise<readonly string[]> {
  const names = await Promise.all(['site-a', 'site-b'].map((site) => readdir(join(server.folder, site))));
  return names.flat();
}

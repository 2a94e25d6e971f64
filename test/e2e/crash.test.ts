/**
 * Bridges killed with SIGKILL at whatever moment it happens to be: nothing that was acknowledged to the modality is
 * lost, and every instance ends up in the PACS with the bytes that were sent.
 */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { commandLineOf } from '../../src/queue/redis/process-identity.js';
import { makePair, type TestBridge } from '../support/bridge.js';
import { readDataSets, storedIn } from '../support/data-sets.js';
import { storescu } from '../support/dcmtk.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const LONG_MS = 180_000;
/** Moments after the study was sent; each lies in another step of the road. */
const KILL_AFTER_MS = [300, 1_700, 2_600, 3_500];

describeWith(['dcmtk', 'orthanc', 'redis'], 'bridges that are killed', () => {
  let orthanc: Orthanc | undefined;
  let bridges: TestBridge[] = [];
  let files = '';

  afterEach(async () => {
    await Promise.all([...bridges.map((bridge) => bridge.remove()), orthanc?.stop()]);
    await rm(files, { recursive: true, force: true });
    bridges = [];
  }, LONG_MS);

  const raise = async () => {
    files = await mkdtemp(join(tmpdir(), 'drawbridge-files-'));
    orthanc = await startOrthanc();
    const pair = await makePair([
      { name: 'main', aeTitle: orthanc.aeTitle, host: '127.0.0.1', port: orthanc.dicomPort },
    ]);
    bridges = [pair.a, pair.b];
    await Promise.all(bridges.map((bridge) => bridge.start()));
    return { ...pair, orthanc };
  };

  it(
    'lose nothing, whichever step the kill falls into',
    async () => {
      const { a, b, orthanc: pacs } = await raise();
      const sent: string[] = [];
      for (const [round, afterMs] of KILL_AFTER_MS.entries()) {
        const made = await makeStudy({
          kind: 'ct',
          out: join(files, `${round}`),
          seed: round + 1,
          slices: 12,
          rows: 64,
        });
        const paths = made.map(({ path }) => path);
        const result = await storescu(paths, { port: a.dimsePort, args: ['-xe'] });
        expect(result.code, result.output).toBe(0);
        sent.push(...paths);
        // Not to wait for something, but to let the kill fall where it may.
        await pause(afterMs);
        await Promise.all([a.kill(), b.kill()]);
        await Promise.all([a.start(), b.start()]);
      }
      await until(
        async () => {
          const deliveries = await a.deliveries();
          return (
            deliveries.length === KILL_AFTER_MS.length &&
            deliveries.every(({ state }) => state === 'verified')
          );
        },
        { timeoutMs: 90_000, what: 'every delivery is verified' },
      );
      expect(await storedIn(pacs)).toEqual(await readDataSets(sent));
      await until(async () => (await b.receptions()).every(({ state }) => state === 'confirmed'), {
        timeoutMs: 90_000,
        what: 'every reception is confirmed',
      });
      expect(await b.receptions()).toHaveLength(KILL_AFTER_MS.length);
    },
    LONG_MS,
  );

  it(
    'end the workers that live on, before they begin again',
    async () => {
      const { a, b, orthanc: pacs } = await raise();
      let isShut = true;
      let callers = 0;
      // Before the PACS: while it is shut, whoever has come waits there for ever.
      const door = createServer((socket) => {
        callers += 1;
        socket.on('error', () => socket.destroy());
        if (isShut) return;
        const inner = connect(pacs.dicomPort, '127.0.0.1');
        inner.on('error', () => socket.destroy());
        socket.pipe(inner).pipe(socket);
      });
      door.listen(0, '127.0.0.1');
      await once(door, 'listening');
      const { port } = door.address() as AddressInfo;
      await b.stop();
      await b.configure({ pacs: [{ name: 'main', aeTitle: pacs.aeTitle, host: '127.0.0.1', port }] });
      await b.start();
      const made = await makeStudy({ kind: 'ct', out: join(files, 'ct'), slices: 4, rows: 64 });
      const paths = made.map(({ path }) => path);
      await storescu(paths, { port: a.dimsePort, args: ['-xe'] });
      await until(() => callers > 0, { timeoutMs: 60_000, what: 'a worker of B waits for the PACS' });
      const worker = Number([...b.output().matchAll(/"worker\.started","pid":(\d+)/g)].at(-1)?.[1]);
      await b.killAlone();
      expect(await commandLineOf(worker)).toContain('worker');
      isShut = false;
      await b.start();
      // Nobody may have noticed its end yet: then its id is still there.
      expect((await commandLineOf(worker)) ?? '').toBe('');
      expect(b.output()).toContain(`"event":"worker.left_over","pid":${worker}`);
      await until(async () => (await a.deliveries()).every(({ state }) => state === 'verified'), {
        timeoutMs: LONG_MS,
        what: 'the delivery is verified',
      });
      expect(await storedIn(pacs)).toEqual(await readDataSets(paths));
      door.close();
    },
    LONG_MS,
  );

  it(
    'carry on with an empty Redis: the jobs are made again from the records',
    async () => {
      const { a, b, orthanc: pacs } = await raise();
      await b.stop();
      const made = await makeStudy({ kind: 'mr', out: join(files, 'mr'), slices: 4, rows: 64 });
      const paths = made.map(({ path }) => path);
      await storescu(paths, { port: a.dimsePort, args: ['-xe'] });
      await until(
        async () => (await a.deliveries()).some(({ lastError }) => lastError?.code === 'PEER_UNREACHABLE'),
        {
          timeoutMs: 30_000,
          what: 'shipping fails, since B is down',
        },
      );
      await a.stop();
      await rm(join(a.folder, 'data', 'redis'), { recursive: true, force: true });
      await Promise.all([a.start(), b.start()]);
      await until(async () => (await a.deliveries()).every(({ state }) => state === 'verified'), {
        timeoutMs: LONG_MS,
        what: 'the delivery is verified',
      });
      expect(await storedIn(pacs)).toEqual(await readDataSets(paths));
    },
    LONG_MS,
  );
});

/** Two bridges that know nobody, and two operators: paired by the command line, then a study goes from one to the other. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeBridge, type TestBridge } from '../support/bridge.js';
import { runProcess } from '../support/processes.js';
import { describeWith } from '../support/tools.js';
import { makeTwoBridges, type TwoBridges } from '../support/two-bridges.js';
import { until } from '../support/until.js';

const LONG_MS = 240_000;
const LAUNCHER = fileURLToPath(new URL('../../dist/src/cli/launch.js', import.meta.url));

interface Said {
  readonly ok: boolean;
  readonly code?: string;
  readonly state?: string;
  readonly words?: string;
  readonly peer?: { readonly id: string };
  readonly tests?: unknown;
}

/** What the command says, as a script hears it. */
async function pair(bridge: TestBridge, ...args: readonly string[]): Promise<Said> {
  const config = join(bridge.folder, 'drawbridge.yaml');
  const { output } = await runProcess({
    command: process.execPath,
    args: [LAUNCHER, 'pair', ...args, '--config', config, '--json'],
    timeoutMs: LONG_MS,
  });
  const line = output.split('\n').find((each) => each.startsWith('{'));
  if (line === undefined) throw new Error(output);
  return JSON.parse(line) as Said;
}

describeWith('redis', 'two sites that meet at a share', () => {
  it(
    'are paired by two letters and six words, while their bridges do not run, and test it over the share',
    async () => {
      const [a, b] = await Promise.all([makeBridge('site-a'), makeBridge('site-b')]);
      try {
        const share = join(a.folder, 'share');
        const outbox = { name: 'share', type: 'folder', outbox: join(share, '{peer}') };
        const exchanges = [{ ...outbox, inbox: join(share, '{site}'), settleSeconds: 0, pollSeconds: 1 }];
        await Promise.all([a, b].map(({ id }) => mkdir(join(share, id), { recursive: true })));
        await Promise.all([a, b].map((site) => site.configure({ https: { listen: false }, exchanges })));
        const [request, answer] = [join(a.folder, 'request.txt'), join(b.folder, 'answer.txt')];
        expect(await pair(a, '--out', request)).toMatchObject({ ok: true, state: 'requested' });
        const atB = await pair(b, '--in', request, '--out', answer);
        expect(atB).toMatchObject({ ok: true, state: 'comparing', peer: { id: 'site-a' } });
        const words = atB.words ?? '';
        expect(await pair(a, '--in', answer)).toMatchObject({ ok: true, state: 'comparing', words });
        for (const [site, letter] of [
          [b, request],
          [a, answer],
        ] as const) {
          expect(await pair(site, '--in', letter, '--words', words)).toMatchObject({
            ok: true,
            state: 'paired',
          });
        }
        expect(await pair(a, '--in', answer, '--words', words)).toMatchObject({
          ok: false,
          code: 'PAIRING_FAILED',
        });
        expect(await pair(a, '--test', 'site-b')).toMatchObject({ ok: false, code: 'PEER_UNREACHABLE' });

        await a.start();
        expect(await pair(a, '--test', 'site-b')).toMatchObject({ ok: false, code: 'STATE_INVALID' });
        await a.stop();
        await a.configure({ peers: [{ id: 'site-b', name: 'B', via: 'share' }] });
        await b.configure({ peers: [{ id: 'site-a', name: 'A', via: 'share' }] });
        await Promise.all([a.start(), b.start()]);
        expect(await pair(a, '--test', 'site-b')).toMatchObject({ ok: true, state: 'verified' });
      } finally {
        await Promise.all([a.remove(), b.remove()]);
      }
    },
    LONG_MS,
  );
});

describeWith(['dcmtk', 'redis'], 'two bridges that know nobody', () => {
  let bridges: TwoBridges;
  let a: TestBridge;
  let b: TestBridge;

  beforeAll(async () => {
    bridges = await makeTwoBridges({ acquainted: false });
    ({ a, b } = bridges);
    await Promise.all([a.start(), b.start()]);
  }, LONG_MS);

  afterAll(() => bridges?.remove(), LONG_MS);

  it(
    'are paired by six words, prove it by test envelopes both ways, and a route may name the new peer',
    async () => {
      const address = `https://127.0.0.1:${b.httpsPort}`;
      expect(await pair(a, address)).toMatchObject({ ok: false, code: 'PAIRING_FAILED' });

      const waiting = pair(b, '--host', '127.0.0.1');
      await until(async () => (await b.get<{ state: string }>('/api/pairing')).state === 'waiting', {
        what: 'site-b waits',
      });
      const atA = await pair(a, address, '--host', '127.0.0.1');
      const atB = await waiting;
      expect(atA).toMatchObject({ ok: true, state: 'comparing', peer: { id: 'site-b' } });
      expect(atB).toMatchObject({ ok: true, state: 'comparing', peer: { id: 'site-a' }, words: atA.words });

      const words = atA.words ?? '';
      const ends = await Promise.all([pair(a, '--words', words), pair(b, '--words', words)]);
      for (const end of ends) {
        expect(end).toMatchObject({
          ok: true,
          state: 'paired',
          confirmed: true,
          tests: { sent: { state: 'verified' }, received: true },
        });
      }
      expect(await a.deliveries()).toMatchObject([{ purpose: 'pairing-test', state: 'verified' }]);
      // The sender may know of its receipt before the other side knows that it has it.
      await until(async () => (await b.receptions()).every(({ state }) => state === 'confirmed'), {
        what: 'the receipt is known to have arrived',
      });
      expect(await b.receptions()).toMatchObject([{ purpose: 'pairing-test', state: 'confirmed' }]);
      expect(await pair(a, '--test', 'site-b')).toMatchObject({ ok: true, state: 'verified' });

      await a.stop();
      await a.configure({ routes: [{ to: ['site-b'] }] });
      await a.start();
      const sent = await bridges.sendStudy();
      const isThere = async () =>
        (await a.deliveries()).some(
          ({ state, instanceCount }) => state === 'verified' && instanceCount === 2,
        );
      await until(isThere, { timeoutMs: LONG_MS, what: 'the study is verified' });
      expect(await readdir(bridges.pacs.receivedFolder)).toHaveLength(sent);
    },
    LONG_MS,
  );
});

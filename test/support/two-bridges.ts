/** Two bridges, a PACS of DCMTK behind the second one, and small studies that a modality sends to the first. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeStudy } from '../../samples/make-studies.mjs';
import { makeBridge, makePair, type TestBridge } from './bridge.js';
import { type Storescp, startStorescp, storescu } from './dcmtk.js';

export interface TwoBridges {
  readonly a: TestBridge;
  readonly b: TestBridge;
  readonly pacs: Storescp;
  /** A modality sends a new study to `a`. @returns the number of instances */
  sendStudy(): Promise<number>;
  remove(): Promise<void>;
}

/** Neither is started. @param acquainted whether each has the other in its config */
export async function makeTwoBridges({ acquainted = true } = {}): Promise<TwoBridges> {
  const files = await mkdtemp(join(tmpdir(), 'drawbridge-files-'));
  const pacs = await startStorescp();
  const settings = [{ name: 'main', aeTitle: pacs.aeTitle, host: '127.0.0.1', port: pacs.port }];
  const { a, b } = acquainted ? await makePair(settings) : await makeStrangers();
  if (!acquainted) await b.configure({ pacs: settings });
  let studies = 0;

  return {
    a,
    b,
    pacs,
    async sendStudy() {
      studies += 1;
      const out = join(files, String(studies));
      const made = await makeStudy({ kind: 'ct', out, slices: 2, rows: 32 });
      await storescu(
        made.map(({ path }) => path),
        { port: a.dimsePort, args: ['-xe'] },
      );
      return made.length;
    },
    async remove() {
      await Promise.all([a.remove(), b.remove(), pacs.stop()]);
      await rm(files, { recursive: true, force: true });
    },
  };
}

async function makeStrangers(): Promise<{ a: TestBridge; b: TestBridge }> {
  const [a, b] = await Promise.all([makeBridge('site-a'), makeBridge('site-b')]);
  return { a, b };
}

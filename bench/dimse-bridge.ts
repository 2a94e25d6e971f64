/** Whole bridges: one that takes a study in, and two that pass it on to a PACS. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeBridge, makePair } from '../test/support/bridge.js';
import { until } from '../test/support/until.js';
import { countFiles, type Receiver, type StartReceiver, storescp } from './dimse-receivers.js';
import type { Study } from './dimse-studies.js';
import { DIMSE_TABLE_HEAD, dcmsend, timed } from './dimse-turns.js';
import type { Measured } from './measure.js';

/** Never over in a turn. */
const NO_END_SECONDS = 600;
const ARRIVAL_TIMEOUT_MS = 60_000;
const START_TIMEOUT_MS = 30_000;
/** The log as large as by default; tests have a small one. */
const DISK = { warnFreeBytes: 0, refuseFreeBytes: 0, receptionLogMegabytes: 512 };

/** `drawbridge up`: gateway, workers and Redis. What it uses besides its gateway is not told. */
export const wholeBridge: StartReceiver = async () => {
  const bridge = await makeBridge('site-a');
  await bridge.configure({ completion: { quietSeconds: NO_END_SECONDS }, disk: DISK });
  await bridge.start();
  // Its workers take the processor for some seconds after that.
  await until(() => bridge.output().includes('worker.started'), {
    timeoutMs: START_TIMEOUT_MS,
    what: 'the workers are up',
  });
  return {
    port: bridge.dimsePort,
    folder: bridge.folder,
    stored: () => countFiles(bridge.folder, '.dcm'),
    stop: bridge.remove,
  };
};

/** For journeys behind dcmsend's own, which comes first. */
export const JOURNEY_TABLE_HEAD = DIMSE_TABLE_HEAD.map((line) =>
  line.replace('ours ÷ this', 'time ÷ dcmsend’s'),
);

export interface Journey {
  readonly name: string;
  /** From site A's modality to site B's PACS; the seconds from the last answer of A on, without the quiet time. */
  pass(study: Study): Promise<Measured>;
  /** Straight from the modality into that PACS. */
  straight(study: Study): Promise<Measured>;
  stop(): Promise<void>;
}

/**
 * @param first sent on its way before, so that the bridges are as warm as those that have run for days
 * @param quietSeconds after the last instance; subtracted from what is measured
 */
export async function startJourney(root: string, first: Study, quietSeconds: number): Promise<Journey> {
  const pacs = await storescp('+B')(root);
  // storescp serves one association at a time, and dcmsend is to have its turn.
  const main = { name: 'main', aeTitle: 'PACS', host: '127.0.0.1', port: pacs.port, keepOpenSeconds: 0 };
  const { a, b } = await makePair([main]);
  const stop = async () => {
    await Promise.all([a.remove(), b.remove(), pacs.stop()]);
  };
  const pass = async (study: Study): Promise<Measured> => {
    await dcmsend(a.dimsePort, study.folders);
    const answeredAtMs = Date.now();
    await until(async () => (await pacs.stored()) === study.files.length, {
      timeoutMs: ARRIVAL_TIMEOUT_MS,
      everyMs: 100,
      what: 'the study is at the PACS',
    });
    const seconds = ((await newest(pacs)) - answeredAtMs) / 1000 - quietSeconds;
    await empty(pacs);
    return { seconds };
  };
  try {
    for (const each of [a, b]) {
      await each.configure({ completion: { quietSeconds }, disk: DISK });
      await each.start();
    }
    await pass(first);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: `two bridges, from the last answer on; quiet time of ${quietSeconds} s`,
    pass,
    async straight(study) {
      const { seconds } = await timed(pacs, study, 0, () => dcmsend(pacs.port, study.folders));
      await empty(pacs);
      return { seconds };
    },
    stop,
  };
}

/** When the last file was written to, in ms since 1970. */
async function newest({ folder }: Receiver): Promise<number> {
  const names = await readdir(folder);
  const times = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).mtimeMs));
  return Math.max(...times);
}

async function empty({ folder }: Receiver): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name));
}

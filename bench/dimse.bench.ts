/**
 * Studies over DIMSE, in and out: ours against DCMTK and Orthanc, with DCMTK's dcmsend as the modality and storescp as
 * the PACS. Every receiver starts anew for each turn, takes a small study first, and is asked afterwards whether it
 * has all. `npm run bench dimse ROW…` runs single rows.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JOURNEY_TABLE_HEAD, type Journey, startJourney, wholeBridge } from './dimse-bridge.js';
import { costByPlace, oneLarge, receiveAmongIdle } from './dimse-extremes.js';
import { drawbridge, orthanc, type StartReceiver, storescp } from './dimse-receivers.js';
import { type Study, type StudyWish, writeStudy } from './dimse-studies.js';
import {
  compareDimse,
  DIMSE_TABLE_HEAD,
  dcmsend,
  receive,
  sendOurs,
  sendProgram,
  settle,
} from './dimse-turns.js';
import { type Contestant, keep } from './measure.js';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);
/** Slices of 0.5 MB. */
const SLICES = Number(process.env['BENCH_FILES'] ?? 500);
const SMALL = Number(process.env['BENCH_SMALL_FILES'] ?? 2000);
/** A slice of 512 × 512 pixels has 0.5 MB, one of 66 × 66 has 10 KB. */
const ROWS = 512;
const SMALL_ROWS = 66;
/** Before each turn: so many small ones are taken. */
const FIRST = 300;
const ASSOCIATIONS = 4;
const IDLE = 200;
const LONG = Number(process.env['BENCH_LONG_FILES'] ?? 10_000);
const LONG_PARTS = 10;
const LARGE_BYTES = Number(process.env['BENCH_LARGE_BYTES'] ?? 2_000_000_000);
const DURABLE = 'Only ours waits for the disk before it answers.';

const RUNS: Readonly<Record<string, (first: Study) => Promise<void>>> = {
  receive: receiveLarge,
  four: receiveFour,
  small: receiveSmall,
  send,
  large: oneInstance,
  idle: amongIdle,
  long: longStudy,
  bridge,
};

const root = await mkdtemp(join(tmpdir(), 'drawbridge-bench-'));
let numberOfStudies = 0;
try {
  const wanted = process.argv.slice(2);
  const unknown = wanted.find((name) => !Object.hasOwn(RUNS, name));
  if (unknown !== undefined)
    throw new Error(`there is no row ${unknown}; expected ${Object.keys(RUNS).join(', ')}`);
  const first = await make({ count: FIRST, rows: SMALL_ROWS });
  for (const [name, go] of Object.entries(RUNS)) {
    if (wanted.length === 0 || wanted.includes(name)) await go(first);
  }
} finally {
  await rm(root, { recursive: true, force: true });
}

async function receiveLarge(first: Study): Promise<void> {
  const study = await make({ count: SLICES, rows: ROWS });
  const lines = await compareDimse(
    {
      title: `receive ${SLICES} × 0.5 MB`,
      before: () => settle(root, 1.2 * study.bytes),
      megabytes: study.bytes / 1e6,
      goal: 1,
      contestants: [
        receiver('drawbridge', drawbridge(), study, first),
        receiver('drawbridge up, with workers and Redis', wholeBridge, study, first, 'none'),
        receiver('drawbridge, nothing synced', drawbridge({ isUnsynced: true }), study, first, 'none'),
        receiver('storescp +B', storescp('+B'), study, first),
        receiver('storescp +B, PDU of 128 KiB', storescp('+B', '-pdu', '131072'), study, first),
        once(receiver('storescp', storescp(), study, first, 'none')),
        receiver('Orthanc, SQLite', orthanc, study, first, 4),
      ],
    },
    ROUNDS,
  );
  await report(
    'DIMSE: a CT study in',
    study,
    [...DIMSE_TABLE_HEAD, ...lines],
    turns(`One association. ${DURABLE}`),
  );
}

async function receiveFour(first: Study): Promise<void> {
  const study = await make({ count: SLICES, rows: ROWS, parts: ASSOCIATIONS });
  const lines = await compareDimse(
    {
      title: `receive ${SLICES} × 0.5 MB on ${ASSOCIATIONS} associations`,
      before: () => settle(root, 1.2 * study.bytes),
      megabytes: study.bytes / 1e6,
      goal: 1,
      contestants: [
        receiver('drawbridge', drawbridge(), study, first),
        receiver('storescp +B --fork', storescp('+B', '--fork'), study, first),
        receiver(
          'storescp +B --fork, PDU of 128 KiB',
          storescp('+B', '--fork', '-pdu', '131072'),
          study,
          first,
        ),
      ],
    },
    ROUNDS,
  );
  await report(
    'DIMSE: four associations in',
    study,
    [...DIMSE_TABLE_HEAD, ...lines],
    turns(`At the same time. ${DURABLE}`),
  );
}

async function receiveSmall(first: Study): Promise<void> {
  const study = await make({ count: SMALL, rows: SMALL_ROWS });
  const lines = await compareDimse(
    {
      title: `receive ${SMALL} × 10 KB`,
      before: () => settle(root, 2 * study.bytes),
      megabytes: study.bytes / 1e6,
      instances: SMALL,
      goal: 1,
      contestants: [
        receiver('drawbridge', drawbridge(), study, first),
        receiver('drawbridge, nothing synced', drawbridge({ isUnsynced: true }), study, first, 'none'),
        receiver('storescp +B', storescp('+B'), study, first),
        once(receiver('Orthanc, SQLite', orthanc, study, first, 'none')),
      ],
    },
    ROUNDS,
  );
  await report(
    'DIMSE: small instances in',
    study,
    [...DIMSE_TABLE_HEAD, ...lines],
    turns(`One association. ${DURABLE}`),
  );
}

async function send(first: Study): Promise<void> {
  const large = await make({ count: SLICES, rows: ROWS });
  const small = await make({ count: SMALL, rows: SMALL_ROWS });
  const against = (study: Study, to: StartReceiver): readonly Contestant[] => [
    { name: 'drawbridge', run: () => sendOurs(to, root, study, first) },
    { name: 'dcmsend', run: () => sendProgram(to, root, study, first, dcmsend) },
  ];
  const row = (title: string, study: Study, to: StartReceiver, instances?: number) =>
    compareDimse(
      {
        title,
        before: () => settle(root, 1.2 * study.bytes),
        megabytes: study.bytes / 1e6,
        ...(instances === undefined ? {} : { instances }),
        goal: 1,
        contestants: against(study, to),
      },
      ROUNDS,
    );
  const lines = [
    ...DIMSE_TABLE_HEAD,
    ...(await row(`send ${SLICES} × 0.5 MB to storescp +B`, large, storescp('+B'))),
    ...(await row('the same, PDU of 128 KiB', large, storescp('+B', '-pdu', '131072'))),
    ...(await row(`send ${SMALL} × 10 KB to storescp +B`, small, storescp('+B'), SMALL)),
  ];
  await report(
    'DIMSE: studies out',
    large,
    lines,
    turns(
      'One association. Ours is timed within its process, after a small study, as in a bridge that has run for days, and knows its files as a bridge does; dcmsend as a whole process that reads them first.',
    ),
  );
}

async function oneInstance(first: Study): Promise<void> {
  const study = await make({ count: 1, rows: SMALL_ROWS, pixelBytes: LARGE_BYTES });
  await settle(root, study.bytes);
  await report(
    'DIMSE: one large instance',
    study,
    await oneLarge(root, study, first),
    `${(study.bytes / 1e9).toFixed(1)} GB, once. Peak RSS of the whole process.`,
  );
}

async function amongIdle(first: Study): Promise<void> {
  const study = await make({ count: SLICES, rows: ROWS });
  const lines = await compareDimse(
    {
      title: `receive ${SLICES} × 0.5 MB`,
      before: () => settle(root, 1.2 * study.bytes),
      megabytes: study.bytes / 1e6,
      goal: 0.9,
      contestants: [
        {
          name: `drawbridge, ${IDLE} more associations open`,
          run: () => receiveAmongIdle(root, study, first, IDLE),
        },
        { name: 'drawbridge, one alone', run: () => receiveAmongIdle(root, study, first, 0) },
      ],
    },
    ROUNDS,
  );
  await report('DIMSE: one among many', study, [...DIMSE_TABLE_HEAD, ...lines], turns('One sends.'));
}

async function longStudy(first: Study): Promise<void> {
  const study = await make({ count: LONG, rows: SMALL_ROWS, parts: LONG_PARTS });
  await settle(root, 2 * study.bytes);
  const lines = [
    await costByPlace(root, 'drawbridge', drawbridge(), study, first),
    await costByPlace(root, 'storescp +B', storescp('+B'), study, first),
  ];
  await report(
    'DIMSE: a long study',
    study,
    ['| who | first part, ms each | last part, ms each | ratio |', '|---|---|---|---|', ...lines],
    `${LONG} instances of 10 KB in ${LONG_PARTS} parts, one after the other, once.`,
  );
}

async function bridge(first: Study): Promise<void> {
  const journeys: Journey[] = [];
  try {
    for (const quietSeconds of [5, 1]) journeys.push(await startJourney(root, first, quietSeconds));
    const [{ straight }] = journeys as [Journey];
    let study: Study | undefined;
    const lines = await compareDimse(
      {
        title: `${SLICES} × 0.5 MB to the far PACS`,
        // What a bridge has had already would not be sent again.
        before: async () => {
          for (const folder of study?.folders ?? []) await rm(folder, { recursive: true, force: true });
          study = await make({ count: SLICES, rows: ROWS });
          await settle(root, 2 * study.bytes);
        },
        megabytes: (SLICES * ROWS * ROWS * 2) / 1e6,
        goal: 2,
        contestants: [
          { name: 'dcmsend, straight into it', run: () => straight(made(study)) },
          ...journeys.map(({ name, pass }) => ({ name, run: () => pass(made(study)) })),
        ],
      },
      ROUNDS,
    );
    await report(
      'DIMSE: from site to site',
      made(study),
      [...JOURNEY_TABLE_HEAD, ...lines],
      turns(
        'storescp +B is the PACS. From the last C-STORE answer of site A to the last instance at the PACS of site B, without the quiet time, in which a bridge seals and sends ahead; 60 s by default.',
      ),
    );
  } finally {
    await Promise.all(journeys.map(({ stop }) => stop()));
  }
}

function made(study: Study | undefined): Study {
  if (study === undefined) throw new Error('no study was made');
  return study;
}

function receiver(
  name: string,
  start: StartReceiver,
  study: Study,
  first: Study,
  goal?: number | 'none',
): Contestant {
  return { name, ...(goal === undefined ? {} : { goal }), run: () => receive(start, root, study, first) };
}

function once(contestant: Contestant): Contestant {
  return { ...contestant, isOnce: true };
}

function make(wish: Omit<StudyWish, 'out' | 'number'>): Promise<Study> {
  numberOfStudies += 1;
  return writeStudy({ ...wish, out: join(root, `study-${numberOfStudies}`), number: numberOfStudies });
}

/** Keeps the lines, and removes the study. */
async function report(title: string, study: Study, lines: readonly string[], note: string): Promise<void> {
  keep(title, note, lines);
  for (const folder of study.folders) await rm(folder, { recursive: true, force: true });
}

function turns(note: string): string {
  return `${note} ${ROUNDS} turns; DCMTK and Orthanc with TCP_NODELAY=1, without which they stall. What has no range ran once.`;
}

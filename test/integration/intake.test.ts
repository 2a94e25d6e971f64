/** Intake with DCMTK as the modality: what the bridge answers, and what then lies on the disk. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { type Scp, type ScpOptions, startScp } from '../../src/dimse/scp.js';
import type { StoreHandler } from '../../src/dimse/store-scp.js';
import { systemClock } from '../../src/domain/clock.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { silentLog } from '../../src/observe/log.js';
import { createFeeding } from '../../src/outbound/feeding.js';
import { createIntake } from '../../src/outbound/intake.js';
import { createSpool } from '../../src/spool/envelope-store.js';
import { createLayout, type Layout } from '../../src/spool/layout.js';
import { openStudyStore, type StudyStore } from '../../src/spool/study-store.js';
import { readDataSets } from '../support/data-sets.js';
import { dcmsend, echoscu, storescu } from '../support/dcmtk.js';
import { describeWith } from '../support/tools.js';

describeWith('dcmtk', 'a modality that sends', () => {
  let folder: string;
  let layout: Layout;
  let studies: StudyStore;
  let scp: Scp;
  const refused: string[] = [];

  const start = (more: Partial<ScpOptions> = {}, handler?: StoreHandler) => {
    const feeding = createFeeding();
    return startScp({
      host: '127.0.0.1',
      port: 0,
      policy: {
        calledAes: ['DRAWBRIDGE'],
        callers: [
          { aeTitle: 'MODALITY', hosts: ['127.0.0.0/8'] },
          { aeTitle: 'ELSEWHERE', hosts: ['10.0.0.1'] },
        ],
        anyCaller: false,
        privateSopClasses: [],
      },
      handler:
        handler ??
        createIntake({ studies, feeding, clock: systemClock, log: silentLog, arrived: () => undefined }),
      log: silentLog,
      idleTimeoutMs: 60_000,
      acceptTimeoutMs: 30_000,
      maxAssociations: 10,
      maxAssociationsPerCaller: 10,
      maxPduBytes: 128 * 1024,
      maxInstanceBytes: 1_000_000_000,
      refused: ({ code }) => refused.push(code),
      ...more,
    });
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'drawbridge-intake-'));
    layout = createLayout(join(folder, 'data'));
    await createSpool(layout);
    studies = await openStudyStore(layout);
    refused.length = 0;
    scp = await start();
  });
  afterEach(async () => {
    await scp.close(0);
    await rm(folder, { recursive: true, force: true });
  });

  const storedFiles = async () => {
    const entries = await readdir(layout.studies, { recursive: true, withFileTypes: true });
    return entries
      .filter(({ name }) => name.endsWith('.dcm'))
      .map(({ parentPath, name }) => join(parentPath, name));
  };

  it.each([
    ['implicit', '-xi'],
    ['explicit', '-xe'],
    ['big-endian', '-xb'],
    ['rle', '-xr'],
  ] as const)('finds its data sets on our disk bit for bit: %s', async (syntax, option) => {
    const made = await makeStudy({ kind: 'ct', out: join(folder, 'ct'), slices: 3, rows: 64, syntax });
    const paths = made.map(({ path }) => path);
    const { code, output } = await storescu(paths, { port: scp.port, args: [option] });
    expect(code, output).toBe(0);
    expect(await readDataSets(await storedFiles())).toEqual(await readDataSets(paths));
  });

  it('may use four associations at once', async () => {
    const made = await Promise.all(
      [1, 2, 3, 4].map((seed) =>
        makeStudy({ kind: 'ct', out: join(folder, `${seed}`), seed, slices: 10, rows: 64 }),
      ),
    );
    const results = await Promise.all(
      made.map((files) =>
        dcmsend(
          files.map(({ path }) => path),
          { port: scp.port },
        ),
      ),
    );
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(studies.gathering().map(({ instances }) => instances.size)).toEqual([10, 10, 10, 10]);
  });

  it('is rejected in the standard’s words when its AE title, its host or our AE title is wrong', async () => {
    const unknown = await echoscu({ port: scp.port, calling: 'STRANGER' });
    expect(unknown.output).toContain('Calling AE Title Not Recognized');
    const elsewhere = await echoscu({ port: scp.port, calling: 'ELSEWHERE' });
    expect(elsewhere.output).toContain('Calling AE Title Not Recognized');
    const wrong = await echoscu({ port: scp.port, called: 'PACS' });
    expect(wrong.output).toContain('Called AE Title Not Recognized');
    expect(refused).toEqual(['CALLING_AE_UNKNOWN', 'CALLING_AE_UNKNOWN', 'CALLED_AE_UNKNOWN']);
  });

  it('hears 0x0111 for other bytes under the same UID, and success for the same bytes again', async () => {
    const study = '2.25.77';
    const first = await makeStudy({
      kind: 'ct',
      out: join(folder, 'a'),
      seed: 1,
      slices: 1,
      rows: 32,
      study,
    });
    const other = await makeStudy({
      kind: 'ct',
      out: join(folder, 'b'),
      seed: 2,
      slices: 1,
      rows: 32,
      study,
    });
    const send = (made: typeof first) =>
      storescu(
        made.map(({ path }) => path),
        { port: scp.port, args: ['-v', '-xe'] },
      );
    expect((await send(first)).output).toContain('Success');
    expect((await send(first)).output).toContain('Success');
    expect((await send(other)).output).toMatch(/0x0?111|Duplicate SOP/);
    expect([...studies.conflictCounts().values()]).toEqual([1]);
  });

  it.each([
    ['SPOOL_WRITE_FAILED', /A700|Out.?Of.?Resources/i],
    ['DATASET_UNREADABLE', /C000|Cannot.?Understand/i],
    ['SOP_MISMATCH', /A900|Data.?Set.?Does.?Not.?Match/i],
    ['FAULT', /0110|Processing.?Failure/i],
  ] as const)('is answered by the status of %s, and the association goes on', async (code, status) => {
    await scp.close(0);
    let calls = 0;
    scp = await start(
      {},
      {
        async begin() {
          calls += 1;
          return {
            write: () => undefined,
            commit: async () => {
              if (calls === 1) throw new GatewayError(code, 'no');
            },
            discard: async () => undefined,
          };
        },
      },
    );
    const made = await makeStudy({ kind: 'ct', out: join(folder, 'ct'), slices: 2, rows: 32 });
    const { output } = await storescu(
      made.map(({ path }) => path),
      { port: scp.port, args: ['-d', '-xe', '+ha', '-nh'].slice(0, 2) },
    );
    expect(output).toMatch(status);
  });

  it('is told to come later when the disk is nearly full', async () => {
    await scp.close(0);
    scp = await start({ admission: () => new GatewayError('SPOOL_ABOVE_WATERMARK', 'full') });
    expect((await echoscu({ port: scp.port })).output).toContain('Temporary Congestion');
  });

  it('finds nobody who would drop what it has sent: the file is there when the answer is', async () => {
    const [made] = await makeStudy({ kind: 'us', out: join(folder, 'us'), slices: 6, rows: 200 });
    await storescu([made?.path ?? ''], { port: scp.port, args: ['-xe'] });
    const [file] = await storedFiles();
    expect((await readFile(file ?? '')).length).toBeGreaterThan(200 * 250 * 6);
  });
});

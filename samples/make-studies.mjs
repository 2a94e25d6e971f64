#!/usr/bin/env node
/** Makes synthetic studies: node samples/make-studies.mjs --out DIR [--study ct|mr|cr|us|sr|pdf|all] … (see --help) */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { encodeRle } from './lib/rle.mjs';
import { instancesOf, KINDS, PATIENTS, uidOf } from './lib/studies.mjs';
import { SYNTAXES, writeFile as writeDicom } from './lib/writer.mjs';

const DEFAULTS = { ct: [60, 256], mr: [24, 256], cr: [1, 1024], us: [24, 320], sr: [1, 0], pdf: [1, 0] };

/** The committed demo study: one patient, all kinds, five transfer syntaxes. */
const DEMO = [
  {
    kind: 'ct',
    slices: 24,
    rows: 128,
    syntax: 'explicit',
    every: ['explicit', 'rle', 'deflated', 'implicit'],
  },
  { kind: 'mr', slices: 8, rows: 128, syntax: 'big-endian' },
  { kind: 'cr', slices: 1, rows: 320, syntax: 'implicit' },
  { kind: 'us', slices: 12, rows: 160, syntax: 'rle' },
  { kind: 'sr', slices: 1, rows: 0, syntax: 'explicit' },
  { kind: 'pdf', slices: 1, rows: 0, syntax: 'explicit' },
];

/** Writes one series; the same arguments always give the same bytes. */
export async function makeStudy({
  kind,
  out,
  seed = 1,
  slices,
  rows,
  syntax = 'explicit',
  study,
  patient = 'one',
  every,
}) {
  if (!KINDS.includes(kind)) throw new Error(`there is no study "${kind}"; expected ${KINDS.join(', ')}`);
  if (!Object.hasOwn(SYNTAXES, syntax))
    throw new Error(`there is no syntax "${syntax}"; expected ${Object.keys(SYNTAXES).join(', ')}`);
  const [defaultSlices, defaultRows] = DEFAULTS[kind];
  const wish = {
    kind,
    seed,
    slices: slices ?? defaultSlices,
    rows: rows ?? defaultRows,
    study: study ?? uidOf('study', kind, seed),
    patient,
  };
  await mkdir(out, { recursive: true });
  const made = [];
  for (const { elements, frames, bytesPerSample } of instancesOf(wish)) {
    const chosen = every?.[made.length % every.length] ?? syntax;
    // Only pixels can be run-length encoded.
    const actual = chosen === 'rle' && frames.length === 0 ? 'explicit' : chosen;
    const file = writeDicom([...elements, ...pixelData(frames, bytesPerSample, actual)], actual);
    const path = join(out, `${String(made.length + 1).padStart(4, '0')}.dcm`);
    await writeFile(path, file);
    const find = (tag) => elements.find(([each]) => each === tag)[2];
    made.push({
      path,
      sopClassUid: find(0x00080016),
      sopInstanceUid: find(0x00080018),
      transferSyntaxUid: SYNTAXES[actual],
      studyInstanceUid: find(0x0020000d),
      seriesInstanceUid: find(0x0020000e),
      sizeBytes: file.length,
    });
  }
  return made;
}

/** Writes the demo study, each kind in a folder of its own. */
export async function makeDemoStudy(out) {
  const study = uidOf('study', 'demo');
  const made = [];
  for (const part of DEMO)
    made.push(...(await makeStudy({ ...part, seed: 7, study, out: join(out, part.kind) })));
  return made;
}

function pixelData(frames, bytesPerSample, syntax) {
  if (frames.length === 0) return [];
  if (syntax === 'rle') return [[0x7fe00010, 'OB', frames.map((frame) => encodeRle(frame, bytesPerSample))]];
  const pixels = Buffer.concat(frames);
  return [[0x7fe00010, bytesPerSample === 2 ? 'OW' : 'OB', pixels]];
}

const HELP = `Makes synthetic DICOM studies of a phantom. The patients do not exist.

  node samples/make-studies.mjs --out DIR [options]

  --study KIND    ${KINDS.join(', ')}, all, or demo (default all)
  --slices N      slices of a CT or MR, frames of a US
  --rows N        image height in pixels
  --seed N        another seed gives another study (default 1)
  --syntax NAME   ${Object.keys(SYNTAXES).join(', ')} (default explicit)
  --patient NAME  ${Object.keys(PATIENTS).join(', ')} (default one)
`;

async function run() {
  const { values } = parseArgs({
    options: {
      out: { type: 'string' },
      study: { type: 'string', default: 'all' },
      slices: { type: 'string' },
      rows: { type: 'string' },
      seed: { type: 'string', default: '1' },
      syntax: { type: 'string', default: 'explicit' },
      patient: { type: 'string', default: 'one' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help || values.out === undefined) {
    process.stdout.write(HELP);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const number = (text) => (text === undefined ? undefined : Number(text));
  const kinds = values.study === 'all' ? KINDS : [values.study];
  const made = [];
  for (const kind of kinds) {
    made.push(
      ...(kind === 'demo'
        ? await makeDemoStudy(values.out)
        : await makeStudy({
            kind,
            out: join(values.out, kind),
            seed: Number(values.seed),
            slices: number(values.slices),
            rows: number(values.rows),
            syntax: values.syntax,
            patient: values.patient,
          })),
    );
  }
  process.stdout.write(`${made.length} instances in ${values.out}\n`);
}

if (process.argv[1] !== undefined && import.meta.url === new URL(`file://${process.argv[1]}`).href)
  await run();

/** The kinds of study, as lists of DICOM elements: who the invented patient is, and what each instance holds. */
import { createHash } from 'node:crypto';
import { crProjection, ctSlice, mrSlice, usLoop } from './images.mjs';
import { makePdf } from './pdf.mjs';

/** Nobody has these names. */
export const PATIENTS = {
  one: { name: 'DRAWBRIDGE^PHANTOM ONE', id: 'DB-0001', birth: '19700101', sex: 'O', charset: 'ISO_IR 100' },
  latin: { name: 'GRÄFIN^ZUGBRÜCKE', id: 'DB-0002', birth: '19551224', sex: 'F', charset: 'ISO_IR 192' },
  kanji: {
    name: 'Hanebashi^Tarou=跳ね橋^太郎',
    id: 'DB-0003',
    birth: '19880229',
    sex: 'M',
    charset: 'ISO_IR 192',
  },
};

/** Storage SOP classes (PS3.4 B.5). */
const CLASSES = {
  ct: '1.2.840.10008.5.1.4.1.1.2',
  mr: '1.2.840.10008.5.1.4.1.1.4',
  cr: '1.2.840.10008.5.1.4.1.1.1',
  us: '1.2.840.10008.5.1.4.1.1.3.1',
  sr: '1.2.840.10008.5.1.4.1.1.88.11',
  pdf: '1.2.840.10008.5.1.4.1.1.104.1',
};

export const KINDS = Object.keys(CLASSES);

/** A UID that is always the same for the same words (PS3.5 B.2). */
export function uidOf(...words) {
  return `2.25.${BigInt(`0x${createHash('sha256').update(words.join('/')).digest('hex').slice(0, 31)}`)}`;
}

/**
 * The instances of one series.
 * @param {{ kind: string, seed: number, slices: number, rows: number, study: string, patient: keyof typeof PATIENTS }} wish
 * @returns {Generator<{ elements: import('./writer.mjs').Element[], frames: Buffer[], bytesPerSample: number }>}
 */
export function* instancesOf(wish) {
  const makers = { ct, mr, cr, us, sr, pdf };
  yield* makers[wish.kind](wish);
}

function* ct(wish) {
  const { rows, slices, seed } = wish;
  const [pitch, spacing] = [400 / rows, 360 / slices];
  for (let index = 0; index < slices; index += 1) {
    const z = 0.9 - (1.8 * (index + 0.5)) / slices;
    yield image(wish, 'CT', index, [ctSlice(rows, z, seed + index)], rows, rows, 16, [
      [0x00080008, 'CS', ['ORIGINAL', 'PRIMARY', 'AXIAL']],
      [0x00180050, 'DS', spacing.toFixed(3)],
      [0x00180060, 'DS', '120'],
      [0x00200032, 'DS', [-200, -200, (180 * z).toFixed(3)]],
      [0x00200037, 'DS', [1, 0, 0, 0, 1, 0]],
      [0x00200052, 'UI', uidOf(wish.study, 'frame')],
      [0x00201040, 'LO', ''],
      [0x00201041, 'DS', (180 * z).toFixed(3)],
      [0x00280030, 'DS', [pitch.toFixed(4), pitch.toFixed(4)]],
      [0x00281050, 'DS', '40'],
      [0x00281051, 'DS', '400'],
      [0x00281052, 'DS', '-1024'],
      [0x00281053, 'DS', '1'],
      [0x00281054, 'LO', 'HU'],
    ]);
  }
}

function* mr(wish) {
  const { rows, slices, seed } = wish;
  for (let index = 0; index < slices; index += 1) {
    const y = -0.45 + (0.9 * (index + 0.5)) / slices;
    yield image(wish, 'MR', index, [mrSlice(rows, y, seed + index)], rows, rows, 16, [
      [0x00080008, 'CS', ['ORIGINAL', 'PRIMARY', 'M', 'SE']],
      [0x00180020, 'CS', 'SE'],
      [0x00180021, 'CS', 'NONE'],
      [0x00180022, 'CS', ''],
      [0x00180023, 'CS', '2D'],
      [0x00180050, 'DS', '6'],
      [0x00180080, 'DS', '520'],
      [0x00180081, 'DS', '14'],
      [0x00180091, 'IS', '1'],
      [0x00200032, 'DS', [-200, (200 * y).toFixed(3), 200]],
      [0x00200037, 'DS', [1, 0, 0, 0, 0, -1]],
      [0x00200052, 'UI', uidOf(wish.study, 'frame')],
      [0x00201040, 'LO', ''],
      [0x00280030, 'DS', [(400 / rows).toFixed(4), (400 / rows).toFixed(4)]],
      [0x00281050, 'DS', '450'],
      [0x00281051, 'DS', '900'],
    ]);
  }
}

function* cr(wish) {
  const columns = Math.round(wish.rows * 0.875);
  yield image(wish, 'CR', 0, [crProjection(wish.rows, columns, wish.seed)], wish.rows, columns, 12, [
    [0x00080008, 'CS', ['ORIGINAL', 'PRIMARY']],
    [0x00185101, 'CS', 'PA'],
    [0x00200020, 'CS', ['L', 'F']],
    [0x00281050, 'DS', '2250'],
    [0x00281051, 'DS', '3300'],
  ]);
}

function* us(wish) {
  const columns = Math.round(wish.rows * 1.25);
  const frames = usLoop(wish.rows, columns, wish.slices, wish.seed);
  yield image(wish, 'US', 0, frames, wish.rows, columns, 8, [
    [0x00080008, 'CS', ['ORIGINAL', 'PRIMARY']],
    [0x00181063, 'DS', '40'],
    [0x00280008, 'IS', String(frames.length)],
    [0x00280009, 'AT', Buffer.from([0x18, 0x00, 0x63, 0x10])],
    [0x00282110, 'CS', '00'],
  ]);
}

function* sr(wish) {
  const code = (value, scheme, meaning) => [
    [0x00080100, 'SH', value],
    [0x00080102, 'SH', scheme],
    [0x00080104, 'LO', meaning],
  ];
  const text = (concept, value) => [
    [0x0040a010, 'CS', 'CONTAINS'],
    [0x0040a040, 'CS', 'TEXT'],
    [0x0040a043, 'SQ', [concept]],
    [0x0040a160, 'UT', value],
  ];
  const ctSeries = uidOf(wish.study, 'ct', 'series');
  const ctInstance = uidOf(wish.study, 'ct', 0);
  yield {
    frames: [],
    bytesPerSample: 1,
    elements: [
      ...common(wish, 'SR', 0),
      [0x0040a040, 'CS', 'CONTAINER'],
      [0x0040a043, 'SQ', [code('18748-4', 'LN', 'Diagnostic Imaging Report')]],
      [0x0040a050, 'CS', 'SEPARATE'],
      [0x0040a370, 'SQ', []],
      [0x0040a372, 'SQ', []],
      [
        0x0040a375,
        'SQ',
        [
          [
            [0x0020000d, 'UI', wish.study],
            [
              0x00081115,
              'SQ',
              [
                [
                  [0x0020000e, 'UI', ctSeries],
                  [
                    0x00081199,
                    'SQ',
                    [
                      [
                        [0x00081150, 'UI', CLASSES.ct],
                        [0x00081155, 'UI', ctInstance],
                      ],
                    ],
                  ],
                ],
              ],
            ],
          ],
        ],
      ],
      [0x0040a491, 'CS', 'COMPLETE'],
      [0x0040a493, 'CS', 'UNVERIFIED'],
      [0x0040a504, 'SQ', []],
      [
        0x0040a730,
        'SQ',
        [
          text(
            code('121070', 'DCM', 'Findings'),
            'A nodule of 9 mm in the right upper lobe of a patient who does not exist.',
          ),
          text(code('121076', 'DCM', 'Conclusions'), 'This report was written by a script. Nobody is ill.'),
        ],
      ],
    ],
  };
}

function* pdf(wish) {
  yield {
    frames: [],
    bytesPerSample: 1,
    elements: [
      ...common(wish, 'DOC', 0),
      [0x00080064, 'CS', 'WSD'],
      [0x00280301, 'CS', 'NO'],
      [0x0040a043, 'SQ', []],
      [0x00420010, 'ST', 'Letter'],
      [
        0x00420011,
        'OB',
        makePdf([
          'Dear colleague,',
          'this letter belongs to a study that a script has made.',
          'The patient does not exist.',
          'Drawbridge',
        ]),
      ],
      [0x00420012, 'LO', 'application/pdf'],
      [0x0008002a, 'DT', '20260101120000'],
    ],
  };
}

function image(wish, modality, index, frames, rows, columns, bitsStored, more) {
  const bits = bitsStored > 8 ? 16 : 8;
  return {
    frames,
    bytesPerSample: bits / 8,
    elements: [
      ...common(wish, modality, index),
      [0x00280002, 'US', 1],
      [0x00280004, 'CS', 'MONOCHROME2'],
      [0x00280010, 'US', rows],
      [0x00280011, 'US', columns],
      [0x00280100, 'US', bits],
      [0x00280101, 'US', bitsStored],
      [0x00280102, 'US', bitsStored - 1],
      [0x00280103, 'US', 0],
      ...more,
    ],
  };
}

const NUMBERS = { CT: 1, MR: 2, CR: 3, US: 4, SR: 5, DOC: 6 };

function common(wish, modality, index) {
  const patient = PATIENTS[wish.patient];
  return [
    [0x00080005, 'CS', patient.charset],
    [0x00080016, 'UI', CLASSES[wish.kind]],
    [0x00080018, 'UI', uidOf(wish.study, wish.kind, index)],
    [0x00080020, 'DA', '20260101'],
    [0x00080021, 'DA', '20260101'],
    [0x00080023, 'DA', '20260101'],
    [0x00080030, 'TM', '120000'],
    [0x00080033, 'TM', '120000'],
    [0x00080050, 'SH', 'ACC-0001'],
    [0x00080060, 'CS', modality],
    [0x00080070, 'LO', 'Drawbridge samples'],
    [0x00080090, 'PN', ''],
    [0x00081030, 'LO', 'Thorax of a phantom'],
    [0x0008103e, 'LO', `Series ${modality}`],
    [0x00081111, 'SQ', []],
    [0x00100010, 'PN', patient.name],
    [0x00100020, 'LO', patient.id],
    [0x00100030, 'DA', patient.birth],
    [0x00100040, 'CS', patient.sex],
    [0x00180015, 'CS', 'CHEST'],
    [0x0020000d, 'UI', wish.study],
    [0x0020000e, 'UI', uidOf(wish.study, wish.kind, 'series')],
    [0x00200010, 'SH', '1'],
    [0x00200011, 'IS', String(NUMBERS[modality])],
    [0x00200013, 'IS', String(index + 1)],
  ].filter(([tag]) => !(tag === 0x00180015 && (modality === 'SR' || modality === 'DOC')));
}

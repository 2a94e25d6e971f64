/** When a study is complete. */
import { expect, it } from 'vitest';
import type { Gathering } from '../../../src/domain/study.js';
import { judgeCompletion } from '../../../src/outbound/completion.js';

const RULES = { quietSeconds: 60, quietSecondsByModality: { US: 300, CR: 10 }, longestWaitSeconds: 600 };

const gathering = (lastAtMs: number, modalities: readonly string[] = ['CT']): Gathering => ({
  instances: new Set(),
  attachments: new Set(),
  dataSetBytes: 0,
  firstAtMs: 0,
  lastAtMs,
  modalities: new Set(modalities),
  callingAes: new Set(),
});

it.each([
  ['quiet for less than the time', 1_000, ['CT'], false, 60_999, 'quiet'],
  ['quiet for the time', 1_000, ['CT'], false, 61_000, true],
  ['an association still feeds it', 1_000, ['CT'], true, 61_000, 'association'],
  ['a modality with a longer time', 1_000, ['US'], false, 61_000, 'quiet'],
  ['a modality with a shorter time', 1_000, ['CR'], false, 11_000, true],
  ['of several modalities the longest time counts', 1_000, ['CR', 'US'], false, 61_000, 'quiet'],
  [
    'a modality without a time of its own counts with the general one',
    1_000,
    ['CR', 'CT'],
    false,
    11_000,
    'quiet',
  ],
  ['no modality at all', 1_000, [], false, 61_000, true],
  ['the longest wait is over, whoever still sends', 599_999, ['CT'], true, 600_000, true],
] as const)('%s', (_title, lastAtMs, modalities, feeding, nowMs, expected) => {
  const judged = judgeCompletion(gathering(lastAtMs, modalities), feeding, RULES, nowMs);
  expect(judged.complete ? true : judged.waitsFor).toBe(expected);
});

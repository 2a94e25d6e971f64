/** Pairing by letter: two data folders, a request, an answer, and no line between them. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import {
  type OfflinePairing,
  type OfflineParts,
  readLetter,
  writeRequest,
} from '../../src/compose/pairing-offline.js';
import { rawPublicKey } from '../../src/jmix/raw-keys.js';
import {
  formatPairingText,
  makeAnswer,
  parsePairingText,
  readRequest,
} from '../../src/trust/pairing-message.js';
import { makePairingSite, type PairingSite } from '../support/pairing-site.js';

const DAY_MS = 86_400_000;
const failed = expect.objectContaining({ code: 'PAIRING_FAILED' });

let a: PairingSite;
let b: PairingSite;
let mallory: PairingSite;
beforeAll(async () => {
  [a, b, mallory] = await Promise.all([
    makePairingSite('site-a'),
    makePairingSite('site-b'),
    makePairingSite('site-m'),
  ]);
});
beforeEach(() => {
  for (const site of [a, b]) site.time.ms = Date.now();
});
afterAll(() => Promise.all([a, b, mallory].map((site) => site.remove())));

const partsOf = ({ context, card, time }: PairingSite): OfflineParts => ({
  settings: context.settings,
  layout: context.layout,
  own: { card, signingKey: context.keys.signing.privateKey },
  clock: { now: () => time.ms },
});
const read = (site: PairingSite, text: string): Promise<OfflinePairing> =>
  readLetter(partsOf(site), parsePairingText(text));
const write = (site: PairingSite) => writeRequest(partsOf(site));
const peersOf = async ({ context }: PairingSite) => {
  await context.refresh();
  return [...context.peers.keys()];
};
/** Both letters have been written and read. */
async function exchange(): Promise<{
  request: string;
  answer: string;
  atA: OfflinePairing;
  atB: OfflinePairing;
}> {
  const request = await write(a);
  const atB = await read(b, request);
  const answer = atB.answer ?? '';
  return { request, answer, atA: await read(a, answer), atB };
}

it('a no, or other words, leaves nothing behind, and neither letter counts any more', async () => {
  const { request, answer, atA, atB } = await exchange();
  await atA.refuse();
  await expect(atB.agree('six words that are not the same')).rejects.toThrow(failed);
  await expect(read(a, answer)).rejects.toThrow(failed);
  await expect(read(b, request)).rejects.toThrow(failed);
  expect([await peersOf(a), await peersOf(b)]).toEqual([[], []]);
});

it('one request gets one answer, however often it is read, so that nobody collects answers', async () => {
  const request = await write(a);
  const all = await Promise.all([read(b, request), read(b, request), read(b, request)]);
  expect(new Set(all.map(({ answer }) => answer)).size).toBe(1);
  expect(new Set(all.map(({ words }) => words)).size).toBe(1);
});

it('a second answer to the same request ends that pairing', async () => {
  const request = await write(a);
  const { answer = '' } = await read(b, request);
  const message = readRequest(parsePairingText(request), a.time.ms);
  const other = makeAnswer(message, mallory.card, mallory.context.keys.signing.privateKey, a.time.ms);
  const atA = await read(a, formatPairingText(other));
  expect(atA.peer.id).toBe('site-m');
  await expect(read(a, answer)).rejects.toThrow(failed);
  await expect(read(a, formatPairingText(other))).rejects.toThrow(failed);
});

it('an answer to a request that another site made, our own letters, and those of seven days ago are refused', async () => {
  const { request, answer } = await exchange();
  await expect(read(mallory, answer)).rejects.toThrow(failed);
  await expect(read(a, request)).rejects.toThrow(failed);
  await expect(read(b, answer)).rejects.toThrow(failed);
  for (const site of [a, b]) site.time.ms += 8 * DAY_MS;
  await expect(read(a, answer)).rejects.toThrow(failed);
  await expect(read(b, request)).rejects.toThrow(failed);
});

it('two people who see the same words pin each other; a bridge that runs finds the peer; a letter is used once', async () => {
  const { request, answer, atA, atB } = await exchange();
  expect(atA.words).toBe(atB.words);
  await atB.agree(atA.words);
  expect(await peersOf(a)).toEqual([]);
  await atA.agree(atB.words.toUpperCase());
  for (const [site, other] of [
    [a, b],
    [b, a],
  ] as const) {
    expect(await peersOf(site)).toEqual([other.id]);
    const keys = site.context.peers.get(other.id)?.signingKeys ?? [];
    expect(keys.map((key) => rawPublicKey(key).toString('base64'))).toEqual(other.card.signingKeys);
  }
  await expect(read(a, answer)).rejects.toThrow(/used already/);
  await expect(read(b, request)).rejects.toThrow(/used already/);
});

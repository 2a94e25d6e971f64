import { expect, it } from 'vitest';
import { assertSameWords, pairingWords, WORD_COUNT } from '../../../src/trust/pairing-words.js';

const INPUT = {
  request: Buffer.from('a request'),
  answer: Buffer.from('an answer'),
  requestNonce: Buffer.alloc(16, 1),
  answerNonce: Buffer.alloc(16, 2),
};

/** Computed by Python's hashlib.scrypt and the list of BIP-39. */
const KNOWN = 'loan glide protect hammer calm swift';

it('the words of a known pairing are these, for ever: two releases must show the same', async () => {
  expect(await pairingWords(INPUT)).toBe(KNOWN);
  expect(KNOWN.split(' ')).toHaveLength(WORD_COUNT);
});

it.each([
  ['one byte of the request', { ...INPUT, request: Buffer.from('A request') }],
  ['one byte of the answer', { ...INPUT, answer: Buffer.from('an answes') }],
  ['one bit of a nonce', { ...INPUT, requestNonce: Buffer.concat([Buffer.alloc(15, 1), Buffer.from([0])]) }],
  [
    'a byte that moves from one message into the other',
    {
      ...INPUT,
      request: Buffer.from('a requesta'),
      answer: Buffer.from('n answer'),
    },
  ],
  ['messages that change places', { ...INPUT, request: INPUT.answer, answer: INPUT.request }],
  [
    'nonces that change places',
    { ...INPUT, requestNonce: INPUT.answerNonce, answerNonce: INPUT.requestNonce },
  ],
])('%s gives other words', async (_what, input) => {
  expect(await pairingWords(input)).not.toBe(KNOWN);
});

it('five of the six words, another order, or none are refused; blanks and capitals do not matter', () => {
  const words = 'able about above absent absorb abstract';
  for (const given of [
    '',
    'yes',
    'able about above absent absorb',
    'about able above absent absorb abstract',
  ]) {
    expect(() => assertSameWords(words, given)).toThrow(expect.objectContaining({ code: 'PAIRING_FAILED' }));
  }
  expect(() => assertSameWords(words, ' Able about  ABOVE absent\nabsorb abstract ')).not.toThrow();
});

/**
 * The six words that two operators compare by telephone: a short authentication string over both pairing messages.
 *
 * Who stands between the sites shows each of them messages of his own, and wins if both compute the same words from
 * different ones. The order of the messages leaves him no choice but to guess. A's request is fixed, nonce and all,
 * before B draws its nonce; B answers one request in a window, or one for each letter that its operator reads, always with
 * a fresh nonce, and its answer names the hash of the request that it saw. So when he has B's answer, the words of B are
 * fixed; the request of A is fixed too, and he has to find an answer of his own that brings A's words to those 66 bits: a
 * second preimage, for he cannot collect answers of B to look for any two that match. Each try costs him one scrypt
 * (RFC 7914) of 128 MiB, a third of a second; 2^66 of them do not fit into the minutes of a telephone call, nor into the
 * days of a letter. Nothing can be computed beforehand, since the nonces of both sides are the salt.
 *
 * Six words of the English list of BIP-39 (2048 words, told apart by their first four letters), and nothing else of it:
 * they are no seed, and have no checksum.
 */
import { scrypt } from 'node:crypto';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { GatewayError } from '../errors/gateway-error.js';

export const WORD_COUNT = 6;
const BITS_PER_WORD = 11;
const KEY_BYTES = Math.ceil((WORD_COUNT * BITS_PER_WORD) / 8);
/** RFC 7914 §2: 128 * r * N bytes of memory, here 128 MiB. */
const SCRYPT = { N: 2 ** 17, r: 8, p: 1, maxmem: 160 * 2 ** 20 } as const;
const LABEL = 'drawbridge pairing words 1';

/** What the words are made of: the bytes that travelled, and what each side drew for this pairing alone. */
export interface WordsInput {
  readonly request: Buffer;
  readonly answer: Buffer;
  readonly requestNonce: Buffer;
  readonly answerNonce: Buffer;
}

/** @returns six lower-case words with one blank between them; takes about a third of a second, off the main thread */
export async function pairingWords(input: WordsInput): Promise<string> {
  const secret = Buffer.concat([LABEL, input.request, input.answer].map(lengthPrefixed));
  const salt = Buffer.concat([input.requestNonce, input.answerNonce].map(lengthPrefixed));
  const key = await new Promise<Buffer>((resolve, reject) => {
    scrypt(secret, salt, KEY_BYTES, SCRYPT, (error, derived) => {
      if (error === null) resolve(derived);
      else reject(error);
    });
  });
  let bits = BigInt(`0x${key.toString('hex')}`) >> BigInt(KEY_BYTES * 8 - WORD_COUNT * BITS_PER_WORD);
  const words: string[] = [];
  for (let at = 0; at < WORD_COUNT; at += 1) {
    words.unshift(wordlist[Number(bits & 2047n)] ?? '');
    bits >>= BigInt(BITS_PER_WORD);
  }
  return words.join(' ');
}

/**
 * Whether somebody has given these very words; upper case and any blanks between them do not matter.
 * @throws PAIRING_FAILED when they are others
 */
export function assertSameWords(words: string, given: string): void {
  if (given.trim().toLowerCase().split(/\s+/).join(' ') === words) return;
  throw new GatewayError('PAIRING_FAILED', 'the words that were given are not those of this pairing');
}

/** So that no byte can be moved from one part into the next. */
function lengthPrefixed(part: Buffer | string): Buffer {
  const bytes = Buffer.from(part);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

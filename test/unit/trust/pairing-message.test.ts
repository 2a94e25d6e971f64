import { createPublicKey, type KeyObject } from 'node:crypto';
import { expect, it } from 'vitest';
import { signCompactJws } from '../../../src/jmix/manifest-jws.js';
import { rawPublicKey } from '../../../src/jmix/raw-keys.js';
import { generatePrivateKey } from '../../../src/trust/key-files.js';
import {
  answeredRequest,
  formatPairingText,
  hashOf,
  kindOf,
  makeAnswer,
  makeRequest,
  pairingHash,
  parsePairingText,
  readAnswer,
  readRequest,
  readStanding,
  signStanding,
} from '../../../src/trust/pairing-message.js';
import type { PeerCard } from '../../../src/trust/peer-card.js';

const NOW_MS = Date.parse('2026-03-01T10:00:00Z');
const DAY_MS = 86_400_000;

interface Side {
  readonly card: PeerCard;
  readonly key: KeyObject;
}

function side(id: string, changes: Partial<PeerCard> = {}): Side {
  const key = generatePrivateKey('signing');
  const raw = (secret: KeyObject) => rawPublicKey(createPublicKey(secret)).toString('base64');
  const card: PeerCard = {
    id,
    name: `Hospital ${id}`,
    contact: `pacs@${id}.example`,
    url: `https://bridge.${id}.example:8443`,
    encryptionKey: raw(generatePrivateKey('encryption')),
    signingKeys: [raw(key)],
    certificateFingerprints: ['ab'.repeat(32)],
    ...changes,
  };
  return { card, key };
}

const a = side('site-a');
const b = side('site-b');
const requestOf = ({ card, key }: Side) => makeRequest(card, key, NOW_MS);
const failed = expect.objectContaining({ code: 'PAIRING_FAILED' });

/** A message as somebody makes it who does not keep to our rules. */
function forged(typ: string, document: object, key: KeyObject): Buffer {
  return signCompactJws(Buffer.from(JSON.stringify(document)), key, { alg: 'EdDSA', typ });
}

function forgedRequest(changes: object, key = a.key): Buffer {
  const document = { version: 1, iat: NOW_MS / 1000, nonce: 'A'.repeat(22), card: a.card, ...changes };
  return forged('drawbridge-pair-request+jws', document, key);
}

it('a request whose card names the key of somebody else is refused', () => {
  expect(() => readRequest(forgedRequest({ card: b.card }), NOW_MS)).toThrow(failed);
});

it('a request of which any byte was changed is refused', () => {
  const { jws } = requestOf(a);
  for (let at = 0; at < jws.length; at += 7) {
    const changed = Buffer.from(jws);
    changed[at] = changed[at] === 0x41 ? 0x42 : 0x41;
    expect(() => readRequest(changed, NOW_MS)).toThrow(failed);
  }
});

it('a letter that was cut short is refused, wherever', () => {
  const text = formatPairingText(requestOf(a));
  for (const length of [0, 5, 16, 17, 100, text.length - 40, text.length - 1]) {
    expect(() => readRequest(parsePairingText(text.slice(0, length)), NOW_MS)).toThrow(failed);
  }
});

it.each([
  ['no JWS', Buffer.from('hello')],
  ['too large', Buffer.alloc(9000, 0x41)],
  ['JSON that is not ours', forged('drawbridge-pair-request+jws', { version: 1 }, a.key)],
  ['another version', forgedRequest({ version: 2 })],
  ['a short nonce', forgedRequest({ nonce: 'AAAA' })],
  ['a name that moves the cursor', forgedRequest({ card: { ...a.card, name: 'B\u001b[2J' } })],
  ['a contact that turns the text round', forgedRequest({ card: { ...a.card, contact: 'x\u202ey' } })],
  ['an address with a password', forgedRequest({ card: { ...a.card, url: 'https://u:p@host:1' } })],
  ['an address with a path', forgedRequest({ card: { ...a.card, url: 'https://host:1/elsewhere' } })],
  ['no certificate', forgedRequest({ card: { ...a.card, certificateFingerprints: [] } })],
  [
    'a key that was not shown to be its own',
    forgedRequest({
      card: { ...a.card, signingKeys: [...a.card.signingKeys, ...b.card.signingKeys] },
    }),
  ],
  [
    'an encryption key of low order',
    forgedRequest({
      card: { ...a.card, encryptionKey: Buffer.alloc(32).toString('base64') },
    }),
  ],
])('a request with %s is refused', (_what, jws) => {
  expect(() => readRequest(jws, NOW_MS)).toThrow(failed);
});

it('our own card is refused before it is sent, when the other side would refuse it', () => {
  for (const changes of [
    { name: 'A\u0007' },
    { contact: 'x'.repeat(201) },
    { url: 'https://no host:8443' },
  ]) {
    expect(() => requestOf(side('site-a', changes))).toThrow(failed);
  }
});

it('a message counts for seven days, and a day ahead of our clock, and no more', () => {
  const { jws } = requestOf(a);
  for (const nowMs of [NOW_MS + 7 * DAY_MS, NOW_MS - DAY_MS]) {
    expect(readRequest(jws, nowMs).card).toEqual(a.card);
  }
  for (const nowMs of [NOW_MS + 7 * DAY_MS + 1000, NOW_MS - DAY_MS - 1000]) {
    expect(() => readRequest(jws, nowMs)).toThrow(failed);
  }
});

it('an old answer does not answer a new request', () => {
  const old = makeAnswer(requestOf(a), b.card, b.key, NOW_MS);
  expect(() => readAnswer(old.jws, requestOf(a), NOW_MS)).toThrow(failed);
});

it('a request does not pass for an answer, nor an answer for a request', () => {
  const request = requestOf(a);
  const answer = makeAnswer(request, b.card, b.key, NOW_MS);
  expect(() => readRequest(answer.jws, NOW_MS)).toThrow(failed);
  expect(() => readAnswer(request.jws, request, NOW_MS)).toThrow(failed);
  expect([kindOf(request.jws), kindOf(answer.jws)]).toEqual(['request', 'answer']);
});

it('a standing of another pairing, by another site, or of an unknown word is refused', () => {
  const request = requestOf(a);
  const pairing = pairingHash(request, makeAnswer(request, b.card, b.key, NOW_MS));
  const other = pairingHash(request, makeAnswer(request, b.card, b.key, NOW_MS));
  expect(other).not.toBe(pairing);
  expect(() => readStanding(signStanding(other, 'agreed', a.key), pairing, a.card)).toThrow(failed);
  expect(() => readStanding(signStanding(pairing, 'agreed', b.key), pairing, a.card)).toThrow(failed);
  const unknown = forged('drawbridge-pair-standing+jws', { version: 1, pairing, standing: 'king' }, a.key);
  expect(() => readStanding(unknown, pairing, a.card)).toThrow(failed);
  expect(readStanding(signStanding(pairing, 'agreed', a.key), pairing, a.card)).toBe('agreed');
});

it('two requests of one site, and two answers to one request, never share a nonce', () => {
  const request = requestOf(a);
  expect(request.nonce.equals(requestOf(a).nonce)).toBe(false);
  const answers = [1, 2].map(() => makeAnswer(request, b.card, b.key, NOW_MS));
  expect(answers[0]?.nonce).not.toEqual(answers[1]?.nonce);
});

it('a letter comes back as it was, also with lines that a mail program has broken, and fits into a QR code', () => {
  const request = requestOf(a);
  const text = formatPairingText(request);
  expect(text.length).toBeLessThan(1024);
  expect(parsePairingText(text)).toEqual(request.jws);
  expect(parsePairingText(`\n  ${text.replace(/.{70}/g, '$&\r\n')}\n`)).toEqual(request.jws);
  const answer = makeAnswer(readRequest(request.jws, NOW_MS), b.card, b.key, NOW_MS);
  expect(formatPairingText(answer).length).toBeLessThan(1100);
  expect(answeredRequest(answer.jws, NOW_MS)).toBe(hashOf(request.jws));
  expect(readAnswer(answer.jws, request, NOW_MS).card).toEqual(b.card);
});

it('an address at the default port is a plain one', () => {
  const plain = side('site-a', { url: 'https://bridge.example:443' });
  expect(readRequest(requestOf(plain).jws, NOW_MS).card.url).toBe('https://bridge.example:443');
});

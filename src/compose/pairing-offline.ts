/**
 * Pairing by letter, between sites that have no line to each other: a request goes one way, an answer the other, as a file
 * or a QR code. Works on the data folder; the bridge need not run, and one that runs finds the new peer by itself.
 *
 * Each side pins at its own yes, since nothing tells it of the other's: both operators say theirs on the telephone, where
 * they compare the words. A request gets one answer, whoever brings it however often, so that nobody collects answers (see
 * pairing-words.ts); a second answer to one request ends that pairing.
 */
import type { Settings } from '../config/settings.js';
import type { Clock } from '../domain/clock.js';
import { GatewayError } from '../errors/gateway-error.js';
import { createFileDurably, makeFolder, writeFileDurably } from '../spool/atomic.js';
import type { Layout } from '../spool/layout.js';
import {
  answeredRequest,
  formatPairingText,
  kindOf,
  makeAnswer,
  makeRequest,
  type PairingMessage,
  readAnswer,
  readRequest,
} from '../trust/pairing-message.js';
import { openPairingRecords, type PairingRecord, type PairingRecords } from '../trust/pairing-record.js';
import { assertSameWords, pairingWords } from '../trust/pairing-words.js';
import { adoptPeer, assertAdoptable } from '../trust/peer-adopt.js';
import type { PeerCard } from '../trust/peer-card.js';
import type { OwnSide } from './pairing-window.js';

export interface OfflineParts {
  readonly settings: Settings;
  readonly layout: Layout;
  readonly own: OwnSide;
  readonly clock: Clock;
}

/** A pairing whose two messages are both here, so that there are words to compare. */
export interface OfflinePairing {
  readonly peer: PeerCard;
  readonly words: string;
  /** What goes back to the other site; absent where the letter was its answer. */
  readonly answer?: string;
  /** Both screens show the same words: pins the other site. @throws PAIRING_FAILED when `words` are others */
  agree(words: string): Promise<void>;
  /** They do not: neither letter counts any more. */
  refuse(): Promise<void>;
}

/** @returns the request, as the text of a letter */
export async function writeRequest(parts: OfflineParts): Promise<string> {
  const { own, clock } = parts;
  const request = makeRequest(own.card, own.signingKey, clock.now());
  await recordsOf(parts).create({
    version: 1,
    role: 'requester',
    createdAtMs: clock.now(),
    request: request.jws.toString('latin1'),
  });
  return formatPairingText(request);
}

/**
 * Reads the letter of the other site: its request, which is answered, or its answer to ours. The same letter may be read
 * again until it is agreed to or refused.
 * @throws PAIRING_FAILED when it is none, too old, used already, or of a site that must not be pinned
 */
export async function readLetter(parts: OfflineParts, jws: Buffer): Promise<OfflinePairing> {
  return kindOf(jws) === 'request' ? answerLetter(parts, jws) : concludeLetter(parts, jws);
}

async function answerLetter(parts: OfflineParts, jws: Buffer): Promise<OfflinePairing> {
  const { own, clock } = parts;
  const request = readRequest(jws, clock.now());
  await judge(parts, request.card);
  const records = recordsOf(parts);
  const fresh: PairingRecord = {
    version: 1,
    role: 'responder',
    createdAtMs: clock.now(),
    request: jws.toString('latin1'),
    answer: makeAnswer(request, own.card, own.signingKey, clock.now()).jws.toString('latin1'),
  };
  // Where there is an answer already, that one is given again, and the fresh one is forgotten.
  const record = await records.create(fresh);
  assertUnused(record, 'responder');
  const answer = readAnswer(Buffer.from(record.answer ?? '', 'latin1'), request, clock.now());
  return {
    ...(await comparing(parts, records, record, { request, answer, peer: request.card })),
    answer: formatPairingText(answer),
  };
}

async function concludeLetter(parts: OfflineParts, jws: Buffer): Promise<OfflinePairing> {
  const { clock } = parts;
  const records = recordsOf(parts);
  const record = await records.read(answeredRequest(jws, clock.now()));
  if (record === undefined) {
    throw failed('this answers a request that was not made here, or that has expired');
  }
  assertUnused(record, 'requester');
  const request = readRequest(Buffer.from(record.request, 'latin1'), clock.now());
  const answer = readAnswer(jws, request, clock.now());
  await judge(parts, answer.card);
  const text = jws.toString('latin1');
  if (record.answer !== undefined && record.answer !== text) {
    await records.write({ ...record, ended: 'refused' });
    throw failed('another answer to the same request was read here before, so neither counts');
  }
  const known = { ...record, answer: text };
  if (record.answer === undefined) await records.write(known);
  return comparing(parts, records, known, { request, answer, peer: answer.card });
}

async function comparing(
  { settings, layout, clock }: OfflineParts,
  records: PairingRecords,
  record: PairingRecord,
  { request, answer, peer }: { request: PairingMessage; answer: PairingMessage; peer: PeerCard },
): Promise<OfflinePairing> {
  const words = await pairingWords({
    request: request.jws,
    answer: answer.jws,
    requestNonce: request.nonce,
    answerNonce: answer.nonce,
  });
  const end = (ended: 'paired' | 'refused') => records.write({ ...record, ended });
  return {
    peer,
    words,
    async agree(given) {
      try {
        assertSameWords(words, given);
      } catch (error) {
        await end('refused');
        throw error;
      }
      const pairing = { atMs: clock.now(), words };
      await adoptPeer(layout.trust, peer, pairing, { settings, createFile: createFileDurably, clock });
      await end('paired');
    },
    refuse: () => end('refused'),
  };
}

function recordsOf({ layout }: OfflineParts): PairingRecords {
  return openPairingRecords(layout.trust, {
    createFile: createFileDurably,
    writeFile: writeFileDurably,
    makeFolder,
  });
}

function judge({ layout, settings, clock }: OfflineParts, card: PeerCard): Promise<void> {
  return assertAdoptable(layout.trust, card, { settings, createFile: createFileDurably, clock });
}

function assertUnused({ role, ended }: PairingRecord, expected: PairingRecord['role']): void {
  if (role !== expected) throw failed('this letter is our own: the other site has to read it');
  if (ended === 'paired') throw failed('this letter was used already: the two sites are paired');
  if (ended === 'refused')
    throw failed('this letter counts no more: its words were refused, or not the same');
}

function failed(message: string): GatewayError {
  return new GatewayError('PAIRING_FAILED', message);
}

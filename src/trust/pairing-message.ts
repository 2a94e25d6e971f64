/**
 * What two sites say to each other when they are paired, each a compact JWS (RFC 7515 §3.1, EdDSA) with a `typ` of its own:
 *
 *  - request: the card of the site that calls, and a nonce;
 *  - answer: the card of the other, a nonce drawn when the request was there, and the hash of that request;
 *  - standing: how far the signer's operator has come, bound to the hash of request and answer.
 *
 * Each is signed by the signing key of its own card. That proves possession and no more: whose key it is, the two people
 * find out who compare the words (pairing-words.ts). Requests and answers also travel as a line of text, in a file, a
 * mail or a QR code.
 */
import { createHash, type KeyObject, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { isLowOrderPoint } from '../jmix/key-agreement.js';
import { parseCompactJws, signCompactJws, verifyCompactJws } from '../jmix/manifest-jws.js';
import { ed25519PublicKey } from '../jmix/raw-keys.js';
import { parseStrictObject } from '../jmix/strict-json.js';
import { type PeerCard, peerCardSchema } from './peer-card.js';

/** A card with long names and all keys has about 1 KB. */
const PAIRING_MESSAGE_MAX_BYTES = 8 * 1024;
/** A letter takes its time; what lies about for longer is of no use to anybody. */
const MAX_AGE_MS = 7 * 24 * 3_600_000;
/** Clocks of two sites, and their time zones. */
const MAX_FUTURE_MS = 24 * 3_600_000;
const NONCE_BYTES = 16;
const TEXT_PREFIX = 'drawbridge-pair:';
const TYPE_OF = {
  request: 'drawbridge-pair-request+jws',
  answer: 'drawbridge-pair-answer+jws',
  standing: 'drawbridge-pair-standing+jws',
} as const;

type Kind = keyof typeof TYPE_OF;

/** `undecided`: compares; `agreed`: said yes; `pinned`: has the other's keys on its disk; `refused`: said no, or gave up. */
export const STANDINGS = ['undecided', 'agreed', 'pinned', 'refused'] as const;
export type Standing = (typeof STANDINGS)[number];

/** 32 bytes in base64url. */
const hashText = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
const nonceText = z.string().regex(/^[A-Za-z0-9_-]{22}$/);

const requestSchema = z.object({
  version: z.literal(1),
  /** Seconds since the epoch. */
  iat: z.int().min(0),
  nonce: nonceText,
  card: peerCardSchema,
});
const answerSchema = requestSchema.extend({ request: hashText });
const standingSchema = z.object({ version: z.literal(1), pairing: hashText, standing: z.enum(STANDINGS) });

/** A request or an answer that was read. */
export interface PairingMessage {
  /** As it travelled. */
  readonly jws: Buffer;
  readonly card: PeerCard;
  readonly nonce: Buffer;
}

export function makeRequest(card: PeerCard, key: KeyObject, nowMs: number): PairingMessage {
  return make('request', card, key, nowMs, {});
}

/** Call it once for each request: see pairing-words.ts for what hangs on that. */
export function makeAnswer(
  request: PairingMessage,
  card: PeerCard,
  key: KeyObject,
  nowMs: number,
): PairingMessage {
  return make('answer', card, key, nowMs, { request: hashOf(request.jws) });
}

/** @throws PAIRING_FAILED when it is none, or malformed, not signed by its own card, or too old */
export function readRequest(jws: Buffer, nowMs: number): PairingMessage {
  const { card, nonce } = readSigned('request', jws, requestSchema, nowMs);
  return { jws, card, nonce: Buffer.from(nonce, 'base64url') };
}

/** @throws PAIRING_FAILED as `readRequest`, and when it answers another request */
export function readAnswer(jws: Buffer, request: PairingMessage, nowMs: number): PairingMessage {
  const { card, nonce, request: answered } = readSigned('answer', jws, answerSchema, nowMs);
  if (answered !== hashOf(request.jws)) throw failed('this answers another pairing request than ours');
  return { jws, card, nonce: Buffer.from(nonce, 'base64url') };
}

/** The hash of the request that an answer is for, in base64url. @throws PAIRING_FAILED */
export function answeredRequest(jws: Buffer, nowMs: number): string {
  return readSigned('answer', jws, answerSchema, nowMs).request;
}

/** Names one pairing: SHA-256 over request and answer, in base64url. */
export function pairingHash(request: PairingMessage, answer: PairingMessage): string {
  return hashOf(Buffer.from(`${hashOf(request.jws)}.${hashOf(answer.jws)}`));
}

/** SHA-256 in base64url. */
export function hashOf(jws: Buffer): string {
  return createHash('sha256').update(jws).digest('base64url');
}

export function signStanding(pairing: string, standing: Standing, key: KeyObject): Buffer {
  return sign('standing', { version: 1, pairing, standing }, key);
}

/** @throws PAIRING_FAILED when it is of another pairing, or not signed by the site of this card */
export function readStanding(jws: Buffer, pairing: string, card: PeerCard): Standing {
  const read = verified('standing', jws, signingKeyOf(card), standingSchema);
  if (read.pairing !== pairing) throw failed('the message is of another pairing');
  return read.standing;
}

/** One line of text, for a file or a QR code. */
export function formatPairingText({ jws }: PairingMessage): string {
  return `${TEXT_PREFIX}${jws.toString('latin1')}`;
}

/** The message in a text; mail programs may have broken its line. @throws PAIRING_FAILED */
export function parsePairingText(text: string): Buffer {
  const joined = text.replace(/\s+/g, '');
  if (!joined.startsWith(TEXT_PREFIX)) {
    throw failed(`this is no pairing message: expected a text that begins with ${TEXT_PREFIX}`);
  }
  return Buffer.from(joined.slice(TEXT_PREFIX.length), 'latin1');
}

/** @throws PAIRING_FAILED when it is none of these */
export function kindOf(jws: Buffer): Kind {
  const type = parsed(jws).header['typ'];
  const kind = (Object.keys(TYPE_OF) as Kind[]).find((each) => TYPE_OF[each] === type);
  if (kind === undefined) throw failed('this is no pairing message');
  return kind;
}

function make(
  kind: 'request' | 'answer',
  card: PeerCard,
  key: KeyObject,
  nowMs: number,
  more: Readonly<Record<string, string>>,
): PairingMessage {
  if (!peerCardSchema.safeParse(card).success) {
    throw failed('our own card cannot be sent: its name, contact or host name is malformed, or too long');
  }
  assertPlain(card);
  const nonce = randomBytes(NONCE_BYTES);
  const iat = Math.floor(nowMs / 1000);
  const document = { version: 1, iat, nonce: nonce.toString('base64url'), card, ...more };
  return { jws: sign(kind, document, key), card, nonce };
}

function sign(kind: Kind, document: Readonly<Record<string, unknown>>, key: KeyObject): Buffer {
  return signCompactJws(Buffer.from(JSON.stringify(document)), key, { alg: 'EdDSA', typ: TYPE_OF[kind] });
}

function readSigned<T extends typeof requestSchema>(
  kind: Kind,
  jws: Buffer,
  schema: T,
  nowMs: number,
): z.infer<T> {
  const claimed = checked(schema, parsed(jws).payload);
  assertPlain(claimed.card);
  const read = verified(kind, jws, signingKeyOf(claimed.card), schema);
  const ageMs = nowMs - read.iat * 1000;
  if (ageMs > MAX_AGE_MS) {
    throw failed(`the pairing message is ${Math.floor(ageMs / 86_400_000)} days old, at most 7 are accepted`);
  }
  if (ageMs < -MAX_FUTURE_MS) throw failed('the pairing message is dated ahead of our clock by over a day');
  return read;
}

function verified<T extends z.ZodType>(kind: Kind, jws: Buffer, key: KeyObject, schema: T): z.infer<T> {
  if (parsed(jws).header['typ'] !== TYPE_OF[kind])
    throw failed(`expected a pairing ${kind}, got another one`);
  try {
    return checked(schema, verifyCompactJws(jws, [key]).payload);
  } catch (cause) {
    throw failed('the pairing message was changed, or is not signed by the key that it names', cause);
  }
}

function parsed(jws: Buffer) {
  if (jws.length > PAIRING_MESSAGE_MAX_BYTES) {
    throw failed(`a pairing message of ${jws.length} bytes, at most ${PAIRING_MESSAGE_MAX_BYTES} are read`);
  }
  try {
    return parseCompactJws(jws);
  } catch (cause) {
    throw failed('the pairing message is cut short, or was changed', cause);
  }
}

function checked<T extends z.ZodType>(schema: T, payload: Buffer): z.infer<T> {
  const document = parseStrictObject(payload, 'the pairing message', 'PAIRING_FAILED');
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  throw failed('the pairing message is malformed', result.error);
}

/** A stranger's card is shown in a terminal: nothing in it may move the cursor, or turn the text round. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

function assertPlain(card: PeerCard): void {
  const { name, contact, url, encryptionKey, signingKeys, certificateFingerprints } = card;
  if (UNPRINTABLE.test(`${name}${contact}`)) {
    throw failed('the name or contact of the site holds control characters');
  }
  if (url !== undefined && !isPlainAddress(url)) {
    throw failed('the url of the site is expected to be https://host:port, without anything else');
  }
  if (signingKeys.length !== 1 || certificateFingerprints.length !== 1) {
    throw failed('a card for pairing has one signing key, which it is signed with, and one certificate');
  }
  if (isLowOrderPoint(Buffer.from(encryptionKey, 'base64'))) {
    throw failed(
      'the encryption key of the site is a point of low order: anyone could open what is sealed to it',
    );
  }
}

function isPlainAddress(url: string): boolean {
  const { username, password, pathname, search, hash } = new URL(url);
  return !UNPRINTABLE.test(url) && `${username}${password}${pathname}${search}${hash}` === '/';
}

function signingKeyOf({ signingKeys: [key = ''] }: PeerCard): KeyObject {
  return ed25519PublicKey(Buffer.from(key, 'base64'));
}

function failed(message: string, cause?: unknown): GatewayError {
  if (isGatewayError(cause) && cause.code === 'PAIRING_FAILED') return cause;
  return new GatewayError('PAIRING_FAILED', message, { cause });
}

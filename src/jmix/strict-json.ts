/**
 * JSON from outside (RFC 8259), read so that every reader of the same bytes sees the same document: valid UTF-8, no
 * member twice (`JSON.parse` keeps the last, others the first), no `__proto__`, no lone surrogate (RFC 7493 §2.1), no
 * number beyond what a double holds (§2.2), bounded depth and number of values. The caller bounds the size before the
 * bytes are in memory.
 */
import type { ErrorCode } from '../errors/codes.js';
import { GatewayError } from '../errors/gateway-error.js';

export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;
export interface JsonObject {
  [member: string]: JsonValue;
}

/** Deeper than any JMIX document; shallow enough for every recursive reader behind this one. */
const MAX_DEPTH = 64;

/**
 * Five times what a files.json of 100,000 files has. In memory a value is up to fifty times its two bytes of text, so the
 * size alone is no bound.
 */
const DEFAULT_MAX_VALUES = 2_000_000;

const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * @param what the document's name, for the message
 * @param maxValues values of any kind, those inside others included
 * @throws `code` when the bytes are not strict JSON
 */
export function parseStrictJson(
  bytes: Buffer,
  what: string,
  code: ErrorCode,
  maxValues = DEFAULT_MAX_VALUES,
): JsonValue {
  assertFewValues(bytes, what, code, maxValues);
  let value: JsonValue;
  let text: string;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text) as JsonValue;
  } catch {
    // The cause is dropped: V8 quotes the document in its message, and the document may hold a patient.
    throw new GatewayError(code, `${what} is not JSON in UTF-8`);
  }
  assertPlainMembers(text, what, code);
  return value;
}

/** As `parseStrictJson`. @throws `code` when the bytes are not a strict JSON object */
export function parseStrictObject(
  bytes: Buffer,
  what: string,
  code: ErrorCode,
  maxValues?: number,
): JsonObject {
  const value = parseStrictJson(bytes, what, code, maxValues);
  if (isJsonObject(value)) return value;
  throw new GatewayError(code, `${what} is not a JSON object`);
}

/** Whether a string holds half of a surrogate pair, so that it has no UTF-8 form. */
export function hasLoneSurrogate(text: string): boolean {
  return LONE_SURROGATE.test(text);
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Each value but the first stands behind one of three characters; those inside strings count too. */
function assertFewValues(bytes: Buffer, what: string, code: ErrorCode, maxValues: number): void {
  let values = 1;
  for (const byte of bytes) if (byte === 0x2c || byte === 0x5b || byte === 0x7b) values += 1;
  if (values > maxValues) throw new GatewayError(code, `${what} has more than ${maxValues} values`);
}

/** Walks text that `JSON.parse` took, so only structure has to be recognised here, not syntax. */
function assertPlainMembers(text: string, what: string, code: ErrorCode): void {
  // One element per open bracket: the members seen so far of an object, undefined for an array.
  const open: (Set<string> | undefined)[] = [];
  let atMember = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '{' || char === '[') {
      open.push(char === '{' ? new Set() : undefined);
      if (open.length > MAX_DEPTH) {
        throw new GatewayError(code, `${what} is nested deeper than ${MAX_DEPTH} levels`);
      }
      atMember = char === '{';
    } else if (char === '}' || char === ']') {
      open.pop();
      atMember = false;
    } else if (char === ',') {
      atMember = open.at(-1) !== undefined;
    } else if (char === '"') {
      const end = endOfString(text, at);
      const members = open.at(-1);
      const literal = text.slice(at, end + 1);
      // UTF-8 cannot carry half a pair, so only an escape can bring one in.
      if (SURROGATE_ESCAPE.test(literal) && hasLoneSurrogate(JSON.parse(literal) as string)) {
        throw new GatewayError(code, `${what} holds a lone surrogate`);
      }
      if (atMember && members !== undefined) {
        const member = JSON.parse(literal) as string;
        if (member === '__proto__') throw new GatewayError(code, `${what} has a member __proto__`);
        if (members.has(member)) throw new GatewayError(code, `${what} has a member twice`);
        members.add(member);
      }
      atMember = false;
      at = end;
    } else if (char === '-' || isDigit(char)) {
      const number = numberAt(text, at);
      if (!isExact(number)) throw new GatewayError(code, `${what} has a number that a double does not hold`);
      at += number.length - 1;
    }
  }
}

function isDigit(char: string | undefined): boolean {
  return char !== undefined && char >= '0' && char <= '9';
}

function numberAt(text: string, start: number): string {
  let end = start + 1;
  while (end < text.length && '0123456789+-.eE'.includes(text.charAt(end))) end += 1;
  return text.slice(start, end);
}

/** Fractions are rounded by every reader alike; integers are not, where one reads them as such and another as a double. */
function isExact(number: string): boolean {
  const value = Number(number);
  return Number.isFinite(value) && (/[.eE]/.test(number) || Number.isSafeInteger(value));
}

/** Where the string that opens at `start` has its closing quote. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

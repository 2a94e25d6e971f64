/**
 * The canonical form of JSON (RFC 8785): what a signature over JSON values is made on. Member order is a parameter,
 * because two libraries in the field sign object values in document order (see assertion.ts); we write `sorted` only.
 */
import { hasLoneSurrogate, type JsonValue } from './strict-json.js';

export type MemberOrder = 'sorted' | 'document';

/**
 * RFC 8785 text of `value`: no blanks, members sorted by UTF-16 units (§3.2.3), strings and numbers as ECMAScript
 * writes them (§3.2.2).
 * @throws RangeError on a number that is not finite and on a lone surrogate, which RFC 8785 forbids (§3.2.2.2)
 */
export function canonicalJson(value: JsonValue, order: MemberOrder = 'sorted'): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, order)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.keys(value);
    if (order === 'sorted') members.sort();
    const pairs = members.map((member) => {
      return `${canonicalText(member)}:${canonicalJson(value[member] ?? null, order)}`;
    });
    return `{${pairs.join(',')}}`;
  }
  if (typeof value === 'string') return canonicalText(value);
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new RangeError('a number must be finite to have a canonical form');
  }
  return JSON.stringify(value);
}

function canonicalText(text: string): string {
  if (hasLoneSurrogate(text)) {
    throw new RangeError('a string must not hold a lone surrogate to have a canonical form');
  }
  return JSON.stringify(text);
}

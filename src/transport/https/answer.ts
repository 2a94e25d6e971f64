/** What other bridges answer in: JSON documents, and problems (RFC 9457). Nothing in them is believed unchecked. */
import type { GatewayError } from '../../errors/gateway-error.js';
import { classifyStatus, type Problem } from './classify.js';
import type { Answer } from './exchange.js';

const MAX_CODE = 64;
const MAX_DETAIL = 300;

/** An answer that is not the one hoped for. */
export function refusalFrom(answer: Pick<Answer, 'status' | 'headers' | 'body'>): GatewayError {
  return classifyStatus(answer.status, answer.headers, problemOf(answer.body));
}

function problemOf(body: Buffer): Problem {
  const { code, detail } = parseJsonObject(body);
  return {
    ...(typeof code === 'string' ? { code: code.slice(0, MAX_CODE) } : {}),
    ...(typeof detail === 'string' ? { detail: detail.slice(0, MAX_DETAIL) } : {}),
  };
}

/** The members of a JSON object; none of what is no JSON object. */
export function parseJsonObject(bytes: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

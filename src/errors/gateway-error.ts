/**
 * The one error class. Raw errors (socket, HTTP status, DIMSE status, errno) become a GatewayError once, in the
 * adapter that saw them, by number or code and never by text.
 *
 * `name`, `code` and `kind` are own properties, because only those survive the way from a sandboxed process:
 * nothing may rely on `instanceof` across a process boundary; use `isGatewayError`.
 */
import { CODES, type ErrorCode, isErrorCode } from './codes.js';
import type { ErrorKind } from './kinds.js';

/** Details as fields. Never a person's data, never a key. */
export type Facts = Readonly<Record<string, string | number | boolean | undefined>>;

export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly facts: Facts;
  /** What to do about it: the code's own advice, or a better one where the place is known. */
  readonly advice: string;

  /** @param message state, then expectation, then value, in lower case; no personal data */
  constructor(
    code: ErrorCode,
    message: string,
    options: { facts?: Facts; cause?: unknown; advice?: string } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.kind = CODES[code].kind;
    this.facts = options.facts ?? {};
    this.advice = options.advice ?? CODES[code].advice;
  }
}

/** True for a GatewayError of this or of another process. */
export function isGatewayError(error: unknown): error is GatewayError {
  return (
    error instanceof Error &&
    error.name === 'GatewayError' &&
    'code' in error &&
    typeof error.code === 'string' &&
    isErrorCode(error.code)
  );
}

/** Every error as a GatewayError: ours as it is, anything else as a `FAULT` that keeps its cause. */
export function toGatewayError(error: unknown): GatewayError {
  if (isGatewayError(error)) return error;
  return new GatewayError('FAULT', error instanceof Error ? error.message : String(error), { cause: error });
}

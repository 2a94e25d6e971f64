/**
 * What a command has checked, one after the other, for people and for programs: a check that fails does not keep the
 * later ones from being made where they make sense, so that one run tells all; its first failure is the command's.
 */
import type { ErrorCode } from '../errors/codes.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';

/** `absent`: there is nothing to check; `not_checked`: what is needed for it was not given, or an earlier check failed. */
export type CheckResult = 'ok' | 'failed' | 'absent' | 'not_checked';

export interface Check {
  readonly result: CheckResult;
  /** Of a failure. */
  readonly code?: ErrorCode;
  readonly message?: string;
}

export interface Checks<Name extends string> {
  /** Runs a check; undefined when it failed. What is no GatewayError is a fault, and thrown on. */
  run<T>(name: Name, check: () => T | Promise<T>): Promise<T | undefined>;
  note(name: Name, result: CheckResult): void;
  fail(name: Name, code: ErrorCode, message: string): void;
  resultOf(name: Name): CheckResult;
  /** By order of `names`. */
  firstFailure(): GatewayError | undefined;
  toJson(): Readonly<Record<Name, Check>>;
}

/** @param names in the order in which failures count */
export function createChecks<Name extends string>(names: readonly Name[]): Checks<Name> {
  const found = new Map<Name, Check>();
  const checkOf = (name: Name): Check => found.get(name) ?? { result: 'not_checked' };
  const fail = (name: Name, code: ErrorCode, message: string) =>
    void found.set(name, { result: 'failed', code, message });
  return {
    async run(name, check) {
      try {
        const value = await check();
        found.set(name, { result: 'ok' });
        return value;
      } catch (error) {
        if (!isGatewayError(error)) throw error;
        fail(name, error.code, error.message);
        return undefined;
      }
    },
    note: (name, result) => void found.set(name, { result }),
    fail,
    resultOf: (name) => checkOf(name).result,
    firstFailure() {
      for (const name of names) {
        const { code, message } = checkOf(name);
        if (code !== undefined) return new GatewayError(code, message ?? '');
      }
      return undefined;
    },
    toJson: () => Object.fromEntries(names.map((name) => [name, checkOf(name)])) as Record<Name, Check>,
  };
}

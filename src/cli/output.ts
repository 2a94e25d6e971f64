/**
 * How commands speak: results on standard output, everything else on standard error; one JSON object with `--json`; and
 * exit codes that scripts can rely on.
 */
import { type GatewayError, isGatewayError, toGatewayError } from '../errors/gateway-error.js';

/** As in sysexits.h where it has a word for it. */
export const EXIT = { ok: 0, failed: 1, usage: 2, fault: 70, tryAgain: 75, config: 78 } as const;

export interface JsonOption {
  readonly json?: boolean;
}

/** Prints a result: `human` for people, `machine` as one JSON line. */
export function printResult(options: JsonOption, machine: Record<string, unknown>, human: string): void {
  process.stdout.write(
    options.json === true ? `${JSON.stringify({ ok: true, ...machine })}\n` : `${human}\n`,
  );
}

/** Prints what was found, whether good or bad; `failure` gives the exit code. */
export function printReport(
  options: JsonOption,
  machine: Record<string, unknown>,
  human: string,
  failure: GatewayError | undefined,
): void {
  if (options.json === true) {
    const error = failure === undefined ? {} : { code: failure.code, message: failure.message };
    process.stdout.write(`${JSON.stringify({ ok: failure === undefined, ...error, ...machine })}\n`);
  } else {
    process.stdout.write(`${human}\n`);
    if (failure !== undefined) printError(options, failure);
  }
  if (failure !== undefined) process.exitCode = exitCodeOf(failure);
}

/** Prints an error and gives the exit code for it. */
export function printError(options: JsonOption, raw: unknown): number {
  const error = toGatewayError(raw);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ ok: false, code: error.code, message: error.message })}\n`);
  } else {
    const { advice } = error;
    process.stderr.write(`${error.code}: ${error.message}\n${advice === '' ? '' : `→ ${advice}\n`}`);
    if (error.code === 'FAULT' && raw instanceof Error) process.stderr.write(`${raw.stack ?? ''}\n`);
  }
  return exitCodeOf(error);
}

function exitCodeOf(error: GatewayError): number {
  if (error.code === 'CONFIG_INVALID') return EXIT.config;
  if (error.kind === 'fault') return EXIT.fault;
  return error.kind === 'transient' ? EXIT.tryAgain : EXIT.failed;
}

/** For a private key that others can read: told, but not refused, since the key is the caller's own affair. */
export function warnExposedKey(path: string): void {
  process.stderr.write(`warning: others can read the private key ${path}; chmod 600 it\n`);
}

/** True for the errors of commander that are no errors: help and version were shown. */
export function isHelp(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code === 'commander.helpDisplayed' || code === 'commander.version' || code === 'commander.help';
}

/** True for wrong arguments; commander has told about them already. */
export function isUsageError(error: unknown): boolean {
  return (
    !isGatewayError(error) &&
    error instanceof Error &&
    'code' in error &&
    String(error.code).startsWith('commander.')
  );
}

/** `1.2 MB`, decimal units. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}

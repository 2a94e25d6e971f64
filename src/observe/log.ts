/**
 * Logging: one event, one JSON line, a fixed past-tense name (`instance.stored`), ids and counts only. Fields that
 * could hold a secret are redacted by key, should one ever slip in.
 */
import { pino } from 'pino';

export type LogFields = Readonly<Record<string, unknown>>;
type Write = (fields: LogFields & { readonly event: string }, message?: string) => void;

/** What the rest of the bridge sees of the logger. */
export interface Log {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  child(fields: LogFields): Log;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

const REDACTED = [
  'password',
  'passphrase',
  'privateKey',
  'authorization',
  'cookie',
  '*.password',
  '*.privateKey',
];

/** A logger that writes JSON lines to standard error, or to `destination` (a file descriptor). */
export function createLog(level: LogLevel, options: { service: string; destination?: number }): Log {
  return pino(
    {
      level,
      base: { service: options.service },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: '[redacted]' },
    },
    pino.destination({ dest: options.destination ?? 2, sync: true }),
  );
}

/** A logger that writes nothing, for tests and for one-shot commands. */
export const silentLog: Log = createLog('silent', { service: 'none' });

/**
 * What gpg says on its status channel (GnuPG's doc/DETAILS): one line for each thing that happened, `[GNUPG:] KEYWORD
 * arguments`. It is the one thing that is believed of gpg: texts change with version and language, and the exit code says
 * that something was wrong, not what.
 */
import { GatewayError } from '../errors/gateway-error.js';

export interface StatusLine {
  readonly keyword: string;
  readonly args: readonly string[];
}

const PREFIX = '[GNUPG:] ';
/** A message names each of its recipients, and each signature takes some lines; thousands of them are an attack. */
const MAX_BYTES = 256 * 1024;

/** What a run said: its status, and what else came the same way. */
export interface Said {
  readonly status: readonly StatusLine[];
  readonly words: string;
}

/** @throws ENVELOPE_MALFORMED for more than any sane message gives */
export async function readStatus(source: AsyncIterable<Buffer>): Promise<Said> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) {
      throw new GatewayError(
        'ENVELOPE_MALFORMED',
        `GnuPG reports more than ${MAX_BYTES} bytes of one message`,
      );
    }
    chunks.push(chunk);
  }
  return parseStatus(Buffer.concat(chunks).toString('utf8'));
}

/** A line that is not whole, because gpg was killed, says nothing. */
function parseStatus(text: string): Said {
  const lines = text.split('\n').slice(0, -1);
  const status = lines
    .filter((line) => line.startsWith(PREFIX))
    .map((line) => {
      const [keyword = '', ...args] = line.slice(PREFIX.length).split(' ');
      return { keyword, args };
    });
  return { status, words: lines.filter((line) => !line.startsWith(PREFIX)).join('; ') };
}

export function has(status: readonly StatusLine[], ...keywords: readonly string[]): boolean {
  return status.some(({ keyword }) => keywords.includes(keyword));
}

/** Codes of libgpg-error in the low 16 bits of what `ERROR` tells: a wrong passphrase, and none. */
const PASSPHRASE_ERRORS: ReadonlySet<number> = new Set([11, 177]);

/** Whether gpg did not come to a private key for want of its passphrase. */
export function lacksPassphrase(status: readonly StatusLine[]): boolean {
  const errors = argsOf(status, 'ERROR').map(([, code]) => Number(code) & 0xffff);
  return (
    has(status, 'NEED_PASSPHRASE', 'BAD_PASSPHRASE') || errors.some((code) => PASSPHRASE_ERRORS.has(code))
  );
}

/** The arguments of every line with this keyword. */
export function argsOf(status: readonly StatusLine[], keyword: string): readonly (readonly string[])[] {
  return status.filter((line) => line.keyword === keyword).map(({ args }) => args);
}

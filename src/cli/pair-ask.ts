/** Shows whom we are about to pair with, and the six words; and asks the person in front of the screen. */
import { createInterface } from 'node:readline/promises';

/** Everything but results goes to standard error. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Whether there is somebody to ask. */
export function isAttended(options: { readonly json?: boolean }): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true && options.json !== true;
}

/** The other site, as its card says. */
interface Shown {
  readonly id: string;
  readonly name: string;
  readonly contact: string;
  readonly url?: string | undefined;
}

export function formatPairing({ id, name, contact, url }: Shown, words: string): string {
  return [
    `${name} (${id}), ${contact}${url === undefined ? '' : `, ${url}`}`,
    '',
    `    ${words}`,
    '',
    'Ring them up, by a number that you have from elsewhere, and compare the six words.',
  ].join('\n');
}

/**
 * Asks until the answer is yes or no in full.
 * @param signal takes the question back
 * @returns `left` when it was taken back, or left open by Ctrl-C or the end of the input
 */
export async function askWhetherSame(signal: AbortSignal): Promise<'yes' | 'no' | 'left'> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const left = new AbortController();
  terminal.once('SIGINT', () => terminal.close());
  terminal.once('close', () => left.abort());
  const either = AbortSignal.any([signal, left.signal]);
  try {
    for (;;) {
      const answer = await terminal.question('Do both screens show the same six words? [yes/no] ', {
        signal: either,
      });
      const word = answer.trim().toLowerCase();
      if (word === 'yes' || word === 'no') return word;
    }
  } catch (error) {
    if (either.aborted) return 'left';
    throw error;
  } finally {
    terminal.close();
  }
}

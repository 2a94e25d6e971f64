/** What `drawbridge` says of itself, and to words that it does not know. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { drawbridge } from '../../support/cli.js';

it.each(['--version', '-V'])('%s prints the version of package.json', async (option) => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(await drawbridge(option)).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

it('--help names the commands and the exit codes', async () => {
  const { code, stdout } = await drawbridge('--help');
  expect(code).toBe(0);
  for (const word of ['up', 'seal', 'open', 'send', 'pair', 'check-config', 'Exit codes'])
    expect(stdout).toMatch(new RegExp(`^\\s*${word}\\b`, 'm'));
});

it('a command that there is not is a wrong argument', async () => {
  const { code, stderr } = await drawbridge('shut');
  expect(code).toBe(2);
  expect(stderr).toContain("unknown command 'shut'");
});

it.each(['toString', 'constructor', '__proto__'])('%s is none either', async (word) => {
  expect((await drawbridge(word)).code).toBe(2);
});

it.each([
  ['an option', ['peers', 'list', '--sideways'], "unknown option '--sideways'"],
  ['a word too many', ['peers', 'list', 'sideways'], 'too many arguments'],
])('%s that a command below another does not know is a wrong argument', async (_, words, why) => {
  const { code, stderr } = await drawbridge(...words);
  expect(code).toBe(2);
  expect(stderr).toContain(why);
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkUserIdentity } from '../../../src/dimse/user-identity.js';
import type { UserIdentity } from '../../../src/dimse/user-items.js';
import type { Log } from '../../../src/observe/log.js';

let folder: string;
let passwordFile: string;
let lines: string[];
const note = (...parts: readonly unknown[]) => lines.push(JSON.stringify(parts));
const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-users-'));
  passwordFile = join(folder, 'ct1.password');
  await writeFile(passwordFile, 'open sesame\n');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const given = (name: string, password?: string, more: Partial<UserIdentity> = {}): UserIdentity => ({
  type: password === undefined ? 1 : 2,
  responseRequested: false,
  primary: Buffer.from(name),
  secondary: Buffer.from(password ?? ''),
  ...more,
});
const check = (identity: UserIdentity | undefined, required = false, file = passwordFile) => {
  lines = [];
  const users = [{ name: 'ct1', passwordFile: file }, { name: 'guest' }];
  return checkUserIdentity({ users, required }, identity, log);
};
const unchecked = (identity: UserIdentity | undefined) => {
  lines = [];
  return checkUserIdentity({ users: [], required: false }, identity, log);
};
const REFUSED = expect.objectContaining({ code: 'USER_UNKNOWN' });

describe('a user is refused', () => {
  it.each([
    ['who is not on the list', given('nobody', 'open sesame')],
    ['whose password is wrong', given('ct1', 'open barley')],
    ['whose password is the right one with more', given('ct1', 'open sesame\n')],
    ['whose password is empty', given('ct1', '')],
    ['who gives a name alone where a password is needed', given('ct1')],
    ['whose name is another in bytes', given('ct1\0', 'open sesame')],
    ['of no name', given('')],
  ])('%s, and no password is told', async (_title, identity) => {
    const failure: unknown = await check(identity).catch((error: unknown) => error);
    expect(failure).toEqual(REFUSED);
    expect(JSON.stringify([lines, String(failure)])).not.toMatch(/sesame|barley/);
  });

  it('whose password file is empty, missing, or no password', async () => {
    const empty = join(folder, 'empty');
    await writeFile(empty, '\n');
    const huge = join(folder, 'huge');
    await writeFile(huge, Buffer.alloc(70_000, 'a'));
    await expect(check(given('ct1', ''), false, empty)).rejects.toEqual(REFUSED);
    expect(lines.join()).toContain('user.password_unreadable');
    await expect(check(given('ct1', 'x'), false, join(folder, 'missing'))).rejects.toEqual(REFUSED);
    await expect(check(given('ct1', 'x'), false, huge)).rejects.toEqual(REFUSED);
  });

  it('where one is required: who gives none, and who gives what we cannot check', async () => {
    await expect(check(undefined, true)).rejects.toEqual(REFUSED);
    for (const type of [3, 4, 5, 9]) {
      await expect(check(given('ticket', undefined, { type }), true)).rejects.toEqual(REFUSED);
    }
  });

  it('by a name that moves no cursor and fills no screen', async () => {
    const failure = await check(given(`\x1b[2J${'x'.repeat(10_000)}`)).catch((error: Error) => error);
    expect(String(failure)).not.toContain('\x1b');
    expect(String(failure).length).toBeLessThan(200);
  });
});

describe('a user is taken', () => {
  it('by name and password, by name alone where that is enough, and unnamed where none is required', async () => {
    expect(await check(given('ct1', 'open sesame'))).toEqual({ name: 'ct1' });
    expect(await check(given('guest'))).toEqual({ name: 'guest' });
    expect(await check(given('guest', 'whatever'), true)).toEqual({ name: 'guest' });
    expect(await check(undefined)).toBeUndefined();
  });

  it('with the password of now, without a restart', async () => {
    const file = join(folder, 'changing');
    await writeFile(file, 'first');
    expect(await check(given('ct1', 'first'), false, file)).toEqual({ name: 'ct1' });
    await writeFile(file, 'second\r\n');
    await expect(check(given('ct1', 'first'), false, file)).rejects.toEqual(REFUSED);
    expect(await check(given('ct1', 'second'), false, file)).toEqual({ name: 'ct1' });
  });

  it('whoever it is, where there is no list', async () => {
    expect(await unchecked(given('an\tyone', 'x'))).toEqual({ name: 'an?yone' });
    expect(await unchecked(undefined)).toBeUndefined();
  });

  it('with an empty response when one is asked for, and none when it cannot be checked', async () => {
    const responseRequested = true;
    const taken = await check(given('ct1', 'open sesame', { responseRequested }));
    expect(taken).toEqual({ name: 'ct1', response: Buffer.alloc(0) });
    const ticket = given('secret ticket', undefined, { type: 3, responseRequested });
    expect(await check(ticket)).toEqual({});
    expect(lines.join()).toMatch(/Kerberos/);
    expect(lines.join()).not.toMatch(/secret/);
  });
});

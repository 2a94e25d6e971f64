/** Private keys under a passphrase: what others made is read, and what we make others read. */
import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { rawPrivateKey } from '../../../src/jmix/raw-keys.js';
import { encryptPrivateKey, passphraseFrom, readPassphrase } from '../../../src/trust/key-encryption.js';
import { generatePrivateKey, keyText, readPrivateKey } from '../../../src/trust/key-files.js';

const PASSPHRASE = Buffer.from('drei Körbe Äpfel');
const key = generatePrivateKey('signing');
let folder: string;
let pem: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-passphrase-'));
  pem = await encryptPrivateKey(key, PASSPHRASE);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, bytes: string | Buffer): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes, { mode: 0o600 });
  return path;
}

function openssl(args: readonly string[], input: string | Buffer): Buffer {
  return execFileSync('openssl', args, { input, stdio: ['pipe', 'pipe', 'ignore'] });
}

it('without a passphrase, or with a wrong one, the key stays locked, and the message says which setting', async () => {
  const path = await file('locked.key', pem);
  for (const passphrase of [undefined, Buffer.from('drei Körbe Birnen'), Buffer.alloc(0)]) {
    await expect(readPrivateKey(path, 'signing', undefined, passphrase)).rejects.toMatchObject({
      code: 'KEY_LOCKED',
      message: expect.stringContaining('keys.passphraseFile'),
    });
  }
});

it('a key that was damaged, or cut off, stays locked', async () => {
  const lines = pem.split('\n');
  for (const damaged of [lines.slice(0, -3).join('\n'), pem.replace('MII', 'MIJ').replace('MIG', 'MIH')]) {
    await expect(
      readPrivateKey(await file('damaged.key', damaged), 'signing', undefined, PASSPHRASE),
    ).rejects.toMatchObject({
      code: 'KEY_LOCKED',
    });
  }
});

it('a key for the other purpose is refused, and one that others can read, encrypted though it is', async () => {
  const path = await file('exposed.key', pem);
  await expect(readPrivateKey(path, 'encryption', undefined, PASSPHRASE)).rejects.toMatchObject({
    code: 'KEY_UNREADABLE',
  });
  await chmod(path, 0o640);
  await expect(readPrivateKey(path, 'signing', undefined, PASSPHRASE)).rejects.toMatchObject({
    code: 'KEY_UNREADABLE',
  });
});

it('a passphrase file that is missing, empty or too long is refused by the name of its setting', async () => {
  for (const path of [
    join(folder, 'none'),
    await file('empty', '\n'),
    await file('long', 'x'.repeat(1025)),
  ]) {
    await expect(readPassphrase(path, 'keys.passphraseFile')).rejects.toMatchObject({
      code: 'KEY_LOCKED',
      message: expect.stringContaining('keys.passphraseFile'),
    });
  }
});

it('one end of line does not belong to the passphrase, and everything else does', async () => {
  expect(await readPassphrase(await file('unix', ' two words \n'), 'x')).toEqual(Buffer.from(' two words '));
  expect(await readPassphrase(await file('dos', 'word\r\n'), 'x')).toEqual(Buffer.from('word'));
  expect(await readPassphrase(await file('twice', 'word\n\n'), 'x')).toEqual(Buffer.from('word\n'));
});

it('a passphrase file that everybody can read is refused; one that a group can read is not', async () => {
  const path = await file('public', 'word');
  const passphrase = passphraseFrom({ passphraseFile: path, overlapDays: 1 });
  await chmod(path, 0o644);
  await expect(passphrase()).rejects.toMatchObject({
    code: 'KEY_UNREADABLE',
    message: expect.stringContaining('644'),
  });
  await chmod(path, 0o640);
  expect(await passphrase()).toEqual(Buffer.from('word'));
  await chmod(path, 0o644);
  await expect(passphrase()).rejects.toMatchObject({ code: 'KEY_UNREADABLE' });
});

it('the passphrase file may go once it was read, and may change', async () => {
  const path = await file('lent', 'first');
  const passphrase = passphraseFrom({ passphraseFile: path, overlapDays: 1 });
  expect(await passphrase()).toEqual(Buffer.from('first'));
  await file('lent', 'second');
  expect(await passphrase()).toEqual(Buffer.from('second'));
  await rm(path);
  expect(await passphrase()).toEqual(Buffer.from('second'));
});

it('OpenSSL opens what we encrypt', () => {
  const der = openssl(['pkey', '-passin', `pass:${PASSPHRASE.toString()}`, '-outform', 'DER'], pem);
  expect(der).toEqual(key.export({ format: 'der', type: 'pkcs8' }));
});

it.each([
  ['PBKDF2 with many rounds', ['-v2', 'aes-256-cbc', '-iter', '100000']],
  ['scrypt', ['-scrypt', '-v2', 'aes-256-cbc']],
])('we open what OpenSSL encrypts by %s', async (_how, options) => {
  const plain = key.export({ format: 'pem', type: 'pkcs8' });
  const theirs = openssl(['pkcs8', '-topk8', ...options, '-passout', 'pass:word'], plain);
  const read = await readPrivateKey(
    await file('theirs.key', theirs),
    'signing',
    undefined,
    Buffer.from('word'),
  );
  expect(read.equals(key)).toBe(true);
});

it('a key in the clear is read, whether or not there is a passphrase', async () => {
  const path = await file('clear.key', keyText(rawPrivateKey(key)));
  for (const passphrase of [undefined, PASSPHRASE]) {
    expect((await readPrivateKey(path, 'signing', undefined, passphrase)).equals(key)).toBe(true);
  }
});

/** The shared vectors through the commands: `open` and `verify` say the same of each, and `open` leaves nothing behind. */
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { drawbridgeJson } from '../support/cli.js';
import {
  expectedCodes,
  VECTORS,
  VECTORS_FOLDER,
  type Vector,
  vectorKind,
} from '../unit/jmix/support/vectors.js';

/** When the vectors' assertions are in force. */
const NOW_MS = Date.parse('2026-11-21T12:00:00Z');

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-cli-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: NOW_MS }));
afterEach(() => void vi.useRealTimers());

async function keyFile(name: string, text: string): Promise<string> {
  const path = join(root, name);
  await writeFile(path, text);
  await chmod(path, 0o600);
  return path;
}

/** What the commands are given: the keys that the vector names. */
async function argumentsFor({ keys }: Vector, isPinned: boolean): Promise<string[]> {
  const given = (flag: string, name: string, text: string | undefined) =>
    text === undefined ? [] : [keyFile(name, text).then((path) => [flag, path])];
  const parts = await Promise.all([
    ...given('--key', 'recipient.key', keys.recipient_private_key),
    ...given('--signer', 'jws.pub', keys.jws_public_key),
    ...(isPinned ? given('--signer', 'assertion.pub', keys.sender_assertion_public_key) : []),
  ]);
  return [...parts.flat(), ...(isPinned ? [] : ['--allow-unsigned'])];
}

async function play(vector: Vector): Promise<void> {
  const codes = expectedCodes(vector);
  const hasKeys = [vector.keys.sender_assertion_public_key, vector.keys.jws_public_key].some(Boolean);
  const args = await argumentsFor(vector, codes.length > 0 && hasKeys);
  const path = join(VECTORS_FOLDER, vector.envelope);
  const out = await mkdtemp(join(root, 'out-'));
  const opened = await drawbridgeJson('open', path, '--out', out, ...args);
  const verified = await drawbridgeJson('verify', path, ...args);
  if (codes.length === 0) {
    expect([opened.exit, opened['code'], verified['code']]).toEqual([0, undefined, undefined]);
    expect(verified).toMatchObject({ ok: true, kind: 'envelope', payload_verified: true });
    for (const member of [
      'id',
      'dialect',
      'checks',
      'signed_by',
      'payload_signed',
      'unknown_fields',
      'deviations',
    ]) {
      expect([member, verified[member]]).toEqual([member, opened[member]]);
    }
    return;
  }
  expect(codes).toContain(opened['code']);
  expect(codes).toContain(verified['code']);
  expect([opened.exit, verified.exit]).toEqual([1, 1]);
  expect(await readdir(out)).toEqual([]);
}

describe.each(['honest', 'tampered', 'hostile', 'packed'] as const)('%s envelopes', (kind) => {
  for (const vector of VECTORS.cases.filter((candidate) => vectorKind(candidate) === kind)) {
    it(`${vector.id}: ${expectedCodes(vector).join(' or ') || 'opens'}`, () => play(vector));
  }
});

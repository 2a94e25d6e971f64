/** `drawbridge verify` and `open` on envelopes of our own, good and bad, with keys in the forms that other software has. */
import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import {
  type AuditEntry,
  formatAuditEntry,
  formatAuditTrail,
  parseAuditTrail,
} from '../../src/jmix/audit-trail.js';
import { type CustodySubject, withSteps } from '../../src/jmix/custody-step.js';
import { sha256Hex } from '../../src/jmix/digest.js';
import { keyFingerprint, rawPrivateKey, rawPublicKey } from '../../src/jmix/raw-keys.js';
import { signReceipt } from '../../src/trust/receipt.js';
import { drawbridge, drawbridgeJson } from '../support/cli.js';
import {
  ENVELOPE_ID,
  RECEIVER,
  RECIPIENT,
  SENDER,
  SIGNER,
  STRANGER,
  sealInMemory,
} from '../unit/jmix/support/sealing.js';

const DAY_MS = 86_400_000;
const HUB = generateKeyPairSync('ed25519');
const TAKER = generateKeyPairSync('ed25519');
const FORWARDED = {
  event: 'forwarded',
  by: { id: 'hub' },
  to: { id: RECEIVER.id },
  timestamp: '2026-11-21T08:16:00Z',
};
const RECEIVED = { event: 'received', by: { id: RECEIVER.id }, timestamp: '2026-11-21T08:17:00Z' };

let root: string;
let folder: string;
let trail: readonly AuditEntry[];
let subject: CustodySubject;
let recipientKey: string;
let signer: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-verify-'));
  recipientKey = await file('recipient.key', rawPrivateKey(RECIPIENT.privateKey).toString('base64'));
  signer = await publicFile('signer.pub', SIGNER.publicKey);
  const { sealed, source, payload } = await sealInMemory({ createdAtMs: Date.now() - 10 * DAY_MS });
  folder = join(root, 'envelope.JMIX');
  await mkdir(folder);
  await writeFile(join(folder, 'manifest.json'), sealed.manifest);
  await writeFile(join(folder, 'manifest.jws'), sealed.jws);
  await writeFile(join(folder, 'payload.encrypted'), payload);
  await writeFile(join(folder, 'audit.json'), sealed.audit);
  trail = parseAuditTrail(sealed.audit);
  subject = { envelopeId: ENVELOPE_ID, manifestSha256: sha256Hex(source.manifest) };
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function file(name: string, text: string | Buffer): Promise<string> {
  const path = join(root, name);
  await writeFile(path, text);
  await chmod(path, 0o600);
  return path;
}

function publicFile(name: string, key: KeyObject): Promise<string> {
  return file(name, rawPublicKey(key).toString('base64'));
}

/** The envelope with another audit.json; undefined: without one. */
async function withAudit(audit: Buffer | undefined): Promise<string> {
  const copy = await mkdtemp(join(root, 'copy-'));
  for (const name of ['manifest.json', 'manifest.jws', 'payload.encrypted']) {
    await writeFile(join(copy, name), await readFile(join(folder, name)));
  }
  if (audit !== undefined) await writeFile(join(copy, 'audit.json'), audit);
  return copy;
}

const verify = (path: string, ...args: readonly string[]) =>
  drawbridgeJson('verify', path, ...(args.includes('--signer') ? args : ['--signer', signer, ...args]));

function receiptFor(steps: readonly AuditEntry[], key = TAKER, envelopeId: string = ENVELOPE_ID): Buffer {
  const receipt = {
    version: 1 as const,
    envelope_id: envelopeId,
    manifest_sha256: subject.manifestSha256,
    receiver: { id: RECEIVER.id, name: RECEIVER.name },
    outcome: 'stored' as const,
    issued_at: '2026-11-21T08:18:00Z',
    audit: withSteps(steps, [RECEIVED], subject, key.privateKey).map(formatAuditEntry),
    instances: [],
  };
  return signReceipt(receipt, key.privateKey, key.publicKey);
}

describe('an envelope is refused', () => {
  it.each([
    ['older than asked for', ['--max-age-days', '9'], 'ENVELOPE_TOO_OLD', 'age'],
    ['for another receiver', ['--receiver', 'org:c'], 'RECIPIENT_MISMATCH', 'receiver'],
  ])('when it is %s, by verify and by open, which writes nothing', async (_, args, code, check) => {
    const verified = await verify(folder, ...args);
    expect([verified.exit, verified['code']]).toEqual([1, code]);
    expect(verified['results']).toMatchObject({
      signature: { result: 'ok' },
      [check]: { result: 'failed', code },
    });
    const out = join(root, 'out-refused');
    const opened = await drawbridgeJson(
      'open',
      folder,
      '--key',
      recipientKey,
      '--signer',
      signer,
      '--out',
      out,
      ...args,
    );
    expect([opened.exit, opened['code']]).toEqual([1, code]);
    await expect(readFile(out)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('when it is dated ahead', async () => {
    const { sealed, payload } = await sealInMemory({ createdAtMs: Date.now() + DAY_MS });
    const copy = await mkdtemp(join(root, 'future-'));
    await writeFile(join(copy, 'manifest.json'), sealed.manifest);
    await writeFile(join(copy, 'manifest.jws'), sealed.jws);
    await writeFile(join(copy, 'payload.encrypted'), payload);
    expect((await verify(copy, '--max-future-minutes', '5'))['code']).toBe('ENVELOPE_FROM_FUTURE');
    expect((await verify(copy)).exit).toBe(0);
  });

  it('when the signer is pinned for somebody else', async () => {
    const result = await verify(folder, '--signer', `org:x=${signer}`);
    expect(result['code']).toBe('SIGNER_NOT_PINNED');
    expect((await verify(folder, '--signer', `${SENDER.id}=${signer}`)).exit).toBe(0);
  });

  it('when its payload was changed; the signatures before it are still told as good', async () => {
    const copy = await withAudit(undefined);
    const payload = await readFile(join(copy, 'payload.encrypted'));
    payload.writeUInt8(payload.readUInt8(600) ^ 1, 600);
    await writeFile(join(copy, 'payload.encrypted'), payload);
    const result = await verify(copy, '--key', recipientKey);
    expect(result).toMatchObject({ exit: 1, ok: false, payload_signed: true, payload_verified: false });
    expect(result['results']).toMatchObject({ signature: { result: 'ok' }, payload: { result: 'failed' } });
  });

  it('when a signed step of its audit trail was changed, at that step', async () => {
    const forwarded = withSteps(trail, [FORWARDED], subject, HUB.privateKey);
    const changed = forwarded.map((entry, index) =>
      index === 1 ? { ...entry, to: { id: 'org:c' } } : entry,
    );
    const path = await withAudit(formatAuditTrail(changed));
    const result = await verify(path);
    expect(result).toMatchObject({
      exit: 1,
      code: 'CUSTODY_BROKEN',
      custody: { result: 'failed', broken_at_step: 2 },
    });
    const { stdout, stderr } = await drawbridge('verify', path, '--signer', signer);
    expect(stdout).toContain('THE CHAIN BREAKS HERE');
    expect(stderr).toContain('CUSTODY_BROKEN');
  });

  it('when its sender’s step is by another key than its manifest', async () => {
    const { assertion: _, ...created } = trail[0] ?? { event: '', by: { id: '' }, timestamp: '' };
    const forged = withSteps([], [created], subject, STRANGER.privateKey);
    expect((await verify(await withAudit(formatAuditTrail(forged))))['code']).toBe('CUSTODY_BROKEN');
  });

  it('when its audit trail cannot be read', async () => {
    expect((await verify(await withAudit(Buffer.from('{"audit":7}'))))['code']).toBe('ENVELOPE_MALFORMED');
  });
});

describe('a receipt is refused', () => {
  const receiptOf = async (jws: Buffer) => ['--receipt', await file('receipt.jws', jws)];

  it.each<[string, () => Buffer, string]>([
    ['by a key that was not given', () => receiptFor(trail, STRANGER), 'SIGNER_NOT_PINNED'],
    [
      'for another envelope',
      () => receiptFor(trail, TAKER, '00000000-0000-4000-8000-000000000000'),
      'RECEIPT_INVALID',
    ],
    ['that is none', () => Buffer.from('nothing'), 'RECEIPT_INVALID'],
    ['whose trail has lost our step', () => receiptFor([]), 'CUSTODY_BROKEN'],
  ])('%s', async (_, jws, code) => {
    const taker = await publicFile('taker.pub', TAKER.publicKey);
    const result = await verify(folder, '--signer', signer, taker, ...(await receiptOf(jws())));
    expect([result.exit, result['code']]).toEqual([1, code]);
    expect(result['results']).toMatchObject({ signature: { result: 'ok' }, custody: { result: 'ok' } });
  });

  it('and is taken when all is well, with the hub’s step as a claim until its key is given', async () => {
    const [taker, hub] = [
      await publicFile('taker.pub', TAKER.publicKey),
      await publicFile('hub.pub', HUB.publicKey),
    ];
    const args = await receiptOf(receiptFor(withSteps(trail, [FORWARDED], subject, HUB.privateKey)));
    const withoutHub = await verify(folder, '--signer', signer, taker, ...args);
    expect(withoutHub).toMatchObject({
      exit: 0,
      receipt: { pinned: true, custody: { result: 'not_checked' } },
    });
    const withHub = await verify(folder, '--signer', signer, taker, `hub=${hub}`, ...args);
    expect(withHub).toMatchObject({ exit: 0, receipt: { custody: { result: 'ok', broken_at_step: null } } });
  });
});

describe('verify', () => {
  it('tells all that it has checked, in the order in which failures count', async () => {
    const result = await verify(
      folder,
      '--key',
      recipientKey,
      '--receiver',
      RECEIVER.id,
      '--max-age-days',
      '11',
    );
    expect(result).toMatchObject({
      exit: 0,
      ok: true,
      kind: 'envelope',
      id: ENVELOPE_ID,
      sender: { id: SENDER.id, name: SENDER.name },
      receivers: [{ id: RECEIVER.id, name: RECEIVER.name }],
      dialect: 'canon',
      sealed: true,
      signed_by: keyFingerprint(SIGNER.publicKey),
      payload_signed: true,
      manifest_signed: true,
      payload_verified: true,
      checks: {
        assertion: 'valid',
        jws: 'valid:exact-bytes',
        payload_hash: 'ok:sha256-ciphertext',
        files_json: 'ok',
      },
      custody: {
        result: 'ok',
        steps: [{ step: 1, event: 'created', pinned: true, chained: true, standing: 'proven' }],
      },
      receipt: null,
    });
    const results = result['results'] as Record<string, { result: string }>;
    expect(Object.entries(results).map(([name, check]) => [name, check.result])).toEqual([
      ['envelope', 'ok'],
      ['manifest', 'ok'],
      ['encryption', 'ok'],
      ['receiver', 'ok'],
      ['signature', 'ok'],
      ['age', 'ok'],
      ['payload', 'ok'],
      ['custody', 'ok'],
      ['receipt', 'absent'],
      ['receipt_custody', 'absent'],
      ['attestation', 'absent'],
    ]);
  });

  it('takes what others wrote unsigned into audit.json for claims, keeps what it does not know, and goes on', async () => {
    const foreign = {
      audit: [
        {
          event: 'envelope_created',
          by: { id: 'x', dept: 'CT' },
          timestamp: '2026-11-21T08:15:00Z',
          note: '?',
        },
      ],
    };
    const result = await verify(await withAudit(Buffer.from(JSON.stringify(foreign))));
    expect(result).toMatchObject({
      exit: 0,
      custody: { result: 'not_checked', steps: [{ signature: 'absent', standing: 'claimed' }] },
    });
    expect(await verify(await withAudit(undefined))).toMatchObject({
      exit: 0,
      custody: null,
      results: { custody: { result: 'absent' } },
    });
  });

  it('lets no text of an envelope move the cursor of a terminal', async () => {
    const evil = [{ ...RECEIVED, event: '\u001b[2Jreceived\nall good' }];
    const path = await withAudit(formatAuditTrail(evil));
    const { stdout } = await drawbridge('verify', path, '--signer', signer);
    expect(stdout).not.toContain('\u001b');
    expect(stdout).not.toMatch(/^all good/m);
    expect((await drawbridge('inspect', path)).stdout).not.toContain('\u001b');
  });

  it('is given no key at all: says which it needs', async () => {
    expect(await drawbridgeJson('verify', folder)).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
    expect(await drawbridgeJson('verify', join(root, 'nothing'), '--allow-unsigned')).toMatchObject({
      code: 'ENVELOPE_NOT_FOUND',
    });
  });

  it.each<[string, (name: string) => Promise<string>]>([
    ['PEM', (name) => file(name, SIGNER.publicKey.export({ type: 'spki', format: 'pem' }))],
    ['JWK', (name) => file(name, JSON.stringify(SIGNER.publicKey.export({ format: 'jwk' })))],
    ['raw bytes', (name) => file(name, rawPublicKey(SIGNER.publicKey))],
  ])('takes the sender’s key as %s, and ours as PKCS#8', async (form, write) => {
    const pem = RECIPIENT.privateKey.export({ type: 'pkcs8', format: 'pem' });
    expect(createPrivateKey(pem).asymmetricKeyType).toBe('x25519');
    const result = await verify(
      folder,
      '--signer',
      await write(`signer ${form}`),
      '--key',
      await file('recipient.pem', pem),
    );
    expect(result).toMatchObject({ exit: 0, payload_verified: true });
  });
});

it('keys that openssl has made seal, verify and open', async () => {
  const made = join(root, 'made');
  await mkdir(made);
  const openssl = (...args: readonly string[]) =>
    execFileSync('openssl', args, { cwd: made, stdio: 'ignore' });
  for (const [name, algorithm] of [
    ['sender', 'ed25519'],
    ['receiver', 'x25519'],
  ] as const) {
    openssl('genpkey', '-algorithm', algorithm, '-out', `${name}.pem`);
    openssl('pkey', '-in', `${name}.pem`, '-pubout', '-out', `${name}.pub.pem`);
    await chmod(join(made, `${name}.pem`), 0o600);
  }
  const [study] = await makeStudy({ kind: 'ct', out: join(made, 'study'), slices: 1, rows: 16 });
  const ids = ['--sender-id', 'org:a', '--receiver-id', 'org:b'];
  const keys = ['--to', join(made, 'receiver.pub.pem'), '--sign-with', join(made, 'sender.pem')];
  const sealed = await drawbridgeJson('seal', study?.path ?? '', ...ids, ...keys, '--out', made);
  expect(sealed.exit).toBe(0);
  const trust = ['--signer', `org:a=${join(made, 'sender.pub.pem')}`, '--key', join(made, 'receiver.pem')];
  expect(await drawbridgeJson('verify', String(sealed['path']), ...trust)).toMatchObject({
    exit: 0,
    payload_verified: true,
    custody: { result: 'ok' },
  });
  const opened = await drawbridgeJson(
    'open',
    String(sealed['path']),
    ...trust,
    '--out',
    join(made, 'opened'),
  );
  expect(opened).toMatchObject({ exit: 0, instances: 1 });
});

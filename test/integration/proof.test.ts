/** Proofs of what two sites did: exported from their data folders, verified by a stranger, and by openssl alone. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { makeProof } from '../../src/compose/proof.js';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { sha256Hex } from '../../src/jmix/digest.js';
import { rawPublicKey } from '../../src/jmix/raw-keys.js';
import { type ProofFiles, sealProof } from '../../src/trust/proof.js';
import { proofAsTar, proofAsZip, readProof } from '../../src/trust/proof-archive.js';
import { drawbridge, drawbridgeJson } from '../support/cli.js';
import { honestReceipt, signedBy } from '../support/site-letters.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { codeOf } from '../unit/jmix/support/sealing.js';

const EVIDENCE = ['manifest.json', 'manifest.jws', 'audit.json', 'receipt.jws'];

let sites: TestSites;
let a: TestSite;
let b: TestSite;
let id: EnvelopeId;
let root: string;
let proof: ProofFiles;
/** `--signer` for both sites, each for itself. */
let signers: readonly string[];
let keyOf: Readonly<Record<string, string>>;

beforeAll(async () => {
  sites = await makeSites(['site-a', 'site-b']);
  a = sites.site('site-a');
  b = sites.site('site-b');
  root = await mkdtemp(join(tmpdir(), 'drawbridge-proof-'));
  const { settings } = a.context;
  const expiring = { settings: { ...settings, trust: { ...settings.trust, assertionDays: 30 } } };
  id = await a.process(expiring).send('site-b');
  await b.poll();
  await a.poll();
  proof = await makeProof(a.context, id);
  const stranger = generateKeyPairSync('ed25519').publicKey;
  const keys = {
    'site-a': a.context.keys.signing.publicKey,
    'site-b': b.context.keys.signing.publicKey,
    stranger,
  };
  keyOf = Object.fromEntries(Object.keys(keys).map((name) => [name, join(root, `${name}.pem`)]));
  for (const [name, key] of Object.entries(keys)) {
    await writeFile(join(root, `${name}.pem`), key.export({ type: 'spki', format: 'pem' }));
  }
  signers = ['--signer', `site-a=${keyOf['site-a']}`, `site-b=${keyOf['site-b']}`];
}, 60_000);
afterAll(async () => {
  await sites.close();
  await rm(root, { recursive: true, force: true });
});
afterEach(() => void vi.useRealTimers());

async function writeTar(files: ProofFiles): Promise<string> {
  const path = join(await mkdtemp(join(root, 'tar-')), 'proof.tar');
  await writeFile(path, proofAsTar(files));
  return path;
}

async function writeFolder(files: ProofFiles): Promise<string> {
  const folder = await mkdtemp(join(root, 'folder-'));
  for (const [name, bytes] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
  return folder;
}

/** `name` with one bit of byte `at` turned; from the end when negative. */
function damaged(name: string, at: number): ProofFiles {
  const bytes = Buffer.from(proof.get(name) ?? Buffer.alloc(0));
  const index = at < 0 ? bytes.length + at : at;
  bytes.writeUInt8(bytes.readUInt8(index) ^ 0x01, index);
  return new Map([...proof, [name, bytes]]);
}

function bytesOf(name: string): Buffer {
  const bytes = proof.get(name);
  if (bytes === undefined) throw new Error(`the proof has no ${name}`);
  return bytes;
}

/** As a forger would: with a new list of hashes. */
function resealed(files: ProofFiles): ProofFiles {
  return sealProof(new Map([...files].filter(([name]) => name !== 'SHA256SUMS')));
}

const verify = async (files: ProofFiles, ...args: readonly string[]) =>
  drawbridgeJson('verify', await writeTar(files), ...(args.length === 0 ? signers : args));

describe('a proof is refused', () => {
  it('with one bit turned anywhere in any file', async () => {
    for (const [name, bytes] of proof) {
      for (const at of [0, Math.floor(bytes.length / 2), -1]) {
        const result = await verify(damaged(name, at));
        expect([name, at, result.exit, result['ok']]).toEqual([name, at, 1, false]);
      }
    }
  });

  it.each([
    ['manifest.json', 'id', ['MANIFEST_INVALID', 'ASSERTION_INVALID']],
    ['manifest.json', 'Hospital', ['ASSERTION_INVALID']],
    ['audit.json', 'created', ['CUSTODY_BROKEN']],
    ['audit.json', 'site-a', ['CUSTODY_BROKEN']],
  ])('when %s says something else at “%s”, and the hashes were made to fit', async (name, word, codes) => {
    const result = await verify(resealed(damaged(name, bytesOf(name).indexOf(word) + word.length - 1)));
    expect(result.exit).toBe(1);
    expect(codes).toContain(result['code']);
  });

  it.each(EVIDENCE)('when %s is of another envelope', async (name) => {
    const other = await makeProof(a.context, await a.seal('site-b', 64));
    const manifestSha256 = sha256Hex(other.get('manifest.json') ?? Buffer.alloc(0));
    const receipt = signedBy(b, { ...(await honestReceipt(a, id)), manifest_sha256: manifestSha256 });
    const bytes = name === 'receipt.jws' ? receipt : (other.get(name) ?? Buffer.alloc(0));
    const result = await verify(resealed(new Map([...proof, [name, bytes]])));
    const codes = {
      'manifest.json': 'ASSERTION_INVALID',
      'manifest.jws': 'ASSERTION_INVALID',
      'audit.json': 'CUSTODY_BROKEN',
      'receipt.jws': 'RECEIPT_INVALID',
    };
    expect([result.exit, result['code']]).toEqual([1, codes[name as keyof typeof codes]]);
  });

  it('when a file is missing, or one too many', async () => {
    for (const name of ['README.txt', 'keys.json', 'SHA256SUMS']) {
      const left = new Map([...proof].filter(([each]) => each !== name));
      expect((await verify(left)).exit).toBe(1);
    }
    const [pem = ''] = [...proof.keys()].filter((name) => name.startsWith('keys/'));
    const more = new Map([
      ...proof,
      [pem.replace(/[0-9a-f](?=\.pem$)/, (last) => (last === '0' ? '1' : '0')), Buffer.from('x')],
    ]);
    expect((await verify(more))['code']).toBe('ENVELOPE_MALFORMED');
  });

  it('when the verifier trusts other keys than those that signed', async () => {
    const codeWith = async (...keys: readonly string[]) => (await verify(proof, '--signer', ...keys))['code'];
    expect(await codeWith(`${keyOf['stranger']}`)).toBe('SIGNER_NOT_PINNED');
    // The receipt’s key was not given.
    expect(await codeWith(`${keyOf['site-a']}`)).toBe('SIGNER_NOT_PINNED');
    expect(await codeWith(`site-a=${keyOf['site-b']}`, `site-b=${keyOf['site-a']}`)).toBe(
      'SIGNER_NOT_PINNED',
    );
    expect((await verify(proof, '--signer', `${keyOf['site-a']}`))['results']).toMatchObject({
      signature: { result: 'ok' },
      receipt: { result: 'failed', code: 'SIGNER_NOT_PINNED' },
    });
  });

  it('when it is for another receiver than asked for', async () => {
    expect((await verify(proof, ...signers, '--receiver', 'site-c'))['code']).toBe('RECIPIENT_MISMATCH');
  });

  it('for an id that this site has never had', async () => {
    const unknown = parseEnvelopeId('00000000-0000-4000-8000-000000000000');
    expect(await codeOf(makeProof(a.context, unknown))).toBe('ENVELOPE_NOT_FOUND');
  });
});

describe('a proof', () => {
  it('shows every step from the sealing to the PACS, proven', async () => {
    const result = await verify(proof);
    expect(result).toMatchObject({
      exit: 0,
      ok: true,
      kind: 'proof',
      id,
      manifest_signed: true,
      payload_signed: true,
    });
    expect(result['receipt']).toMatchObject({ outcome: 'stored', pinned: true, custody: { result: 'ok' } });
    expect((result['receipt'] as { instances: unknown[] }).instances).toHaveLength(2);
    const { custody } = result['receipt'] as { custody: { steps: Record<string, unknown>[] } };
    expect(
      custody.steps.map(({ event, by, standing }) => [event, (by as { id: string }).id, standing]),
    ).toEqual([
      ['created', 'site-a', 'proven'],
      ['received', 'site-b', 'proven'],
      ['stored', 'site-b', 'proven'],
    ]);
    const { stdout, code } = await drawbridge('verify', await writeTar(proof), ...signers);
    expect(code).toBe(0);
    expect(stdout).toContain('stored by Hospital site-b');
  });

  it('is the same bytes each time, and the same files as tar, zip and folder', async () => {
    const again = await makeProof(a.context, id);
    expect(proofAsTar(again).equals(proofAsTar(proof))).toBe(true);
    expect(proofAsZip(again).equals(proofAsZip(proof))).toBe(true);
    const zip = join(root, 'proof.zip');
    await writeFile(zip, proofAsZip(proof));
    for (const path of [zip, await writeTar(proof), await writeFolder(proof)]) {
      expect(new Map(await readProof(path))).toEqual(new Map(proof));
      expect((await drawbridgeJson('verify', path, ...signers)).exit).toBe(0);
    }
    const listed = execFileSync('tar', ['-tf', await writeTar(proof)], { encoding: 'utf8' });
    expect(listed.trim().split('\n')).toEqual([...proof.keys()]);
  });

  it('is exported as well by the receiver, and says where each side knows the keys from', async () => {
    const theirs = await makeProof(b.context, id);
    expect((await verify(theirs)).exit).toBe(0);
    for (const name of EVIDENCE) expect(theirs.get(name)).toEqual(proof.get(name));
    const origins = (files: ProofFiles) =>
      (JSON.parse(String(files.get('keys.json'))) as Record<string, unknown>[]).map((key) => [
        key['belongs_to'],
        key['known_from'],
      ]);
    expect(origins(proof)).toEqual([
      ['site-a', 'own'],
      ['site-b', 'config'],
    ]);
    expect(origins(theirs)).toEqual([
      ['site-a', 'config'],
      ['site-b', 'own'],
    ]);
  });

  it('can still be exported when the envelope is gone', async () => {
    const { layout } = a.context;
    await rm(layout.sealedEnvelope(id), { recursive: true, force: true });
    await rm(b.context.layout.inboxEnvelope(id), { recursive: true, force: true });
    expect(proofAsTar(await makeProof(a.context, id)).equals(proofAsTar(proof))).toBe(true);
  });

  it('counts thirty years later: what has expired since is told, and fails nothing', async () => {
    const path = await writeTar(proof);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.parse('2056-01-01T00:00:00Z') });
    const result = await drawbridgeJson('verify', path, ...signers);
    expect([result.exit, result['ok']]).toEqual([0, true]);
    expect(result['assertion_expired_at']).toMatch(/^20[2-5]\d-/);
    expect((await drawbridge('verify', path, ...signers)).stdout).toContain('its own date passed');
  });

  it('is shown without any key as what it claims, and as no more', async () => {
    const result = await verify(proof, '--allow-unsigned');
    expect(result).toMatchObject({ exit: 0, receipt: { pinned: false, custody: { result: 'not_checked' } } });
  });

  it('holds no name of the patient, and none of the site’s private keys', async () => {
    const text = proofAsTar(proof).toString('latin1');
    expect(text).not.toMatch(/PRIVATE KEY|PatientName|patient"/);
    expect(rawPublicKey(a.context.keys.signing.publicKey)).toHaveLength(32);
  });
});

describe('the README’s commands for openssl', () => {
  const run = (folder: string, commands: readonly string[]) =>
    execFileSync('bash', ['-ec', commands.join('\n')], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const commandsIn = (files: ProofFiles) =>
    String(files.get('README.txt'))
      .split('\n')
      .filter((line) => /^ {4}(?:sha256sum|work=|cut|printf|openssl|text=|cmp)/.test(line))
      .map((line) => line.trim());

  it('verify manifest and receipt, and show what the receipt says', async () => {
    const folder = await writeFolder(proof);
    const output = run(folder, [...commandsIn(proof), 'cat $work/receipt.jws.json']);
    expect(output.match(/Signature Verified Successfully/g)).toHaveLength(2);
    expect(output).toContain('"outcome":"stored"');
    const sha256 = /"manifest_sha256":"([0-9a-f]{64})"/.exec(output)?.[1] ?? '';
    expect(output).toContain(`SHA2-256(manifest.json)= ${sha256}`);
    expect((await drawbridgeJson('verify', folder, ...signers)).exit).toBe(0);
  });

  it.each(EVIDENCE.filter((name) => name !== 'audit.json'))('fail when %s was changed', async (name) => {
    const forged = resealed(damaged(name, Math.floor(bytesOf(name).length / 2)));
    const folder = await writeFolder(forged);
    expect(() => run(folder, commandsIn(proof))).toThrow();
  });
});

describe('`drawbridge proof`, from the data folder', () => {
  const exportTo = (out: string, ...args: readonly string[]) =>
    drawbridgeJson('proof', id, '-c', join(sites.root, 'site-a', 'drawbridge.yaml'), '--out', out, ...args);

  it.each(['exported.tar', 'exported.zip', 'exported'])('writes %s once, which verifies', async (name) => {
    const out = join(root, name);
    expect(await exportTo(out)).toMatchObject({ exit: 0, ok: true, path: out, receipt: true });
    expect(new Map(await readProof(out))).toEqual(new Map(proof));
    expect((await drawbridgeJson('verify', out, ...signers)).exit).toBe(0);
    expect(await exportTo(out)).toMatchObject({ exit: 1, code: 'REQUEST_INVALID' });
    expect((await readdir(root)).filter((each) => each.endsWith('.part'))).toEqual([]);
  });

  it('still knows its own key when that has been replaced, and tells which key vouches for the new one', async () => {
    const config = join(sites.root, 'site-a', 'drawbridge.yaml');
    expect((await drawbridge('keys', 'rotate', '-c', config)).code).toBe(0);
    const out = join(root, 'after-rotation.tar');
    expect((await exportTo(out)).exit).toBe(0);
    const files = new Map(await readProof(out));
    for (const name of EVIDENCE) expect(files.get(name)).toEqual(proof.get(name));
    expect(String(files.get('keys.json'))).toContain('"known_from": "own, retired"');
    expect([...files.keys()]).toContain('announcements/001.jws');
    expect((await drawbridgeJson('verify', out, ...signers)).exit).toBe(0);
  });
});

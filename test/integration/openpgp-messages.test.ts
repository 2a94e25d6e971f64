/**
 * OpenPGP messages against a plain GnuPG, in both directions, and everything that must not pass: each forgery is made by
 * a gpg of its own, or by hand where gpg makes none.
 */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isGatewayError } from '../../src/errors/gateway-error.js';
import { decryptMessage } from '../../src/openpgp/decrypt.js';
import { encryptMessage } from '../../src/openpgp/encrypt.js';
import { ensureGnupgHome, type Gnupg } from '../../src/openpgp/home.js';
import { exportPublicKey, importOwnKey, makeOwnKey, ownKey } from '../../src/openpgp/own-key.js';
import { importPartnerKeys } from '../../src/openpgp/partner-keys.js';
import { type SignerRule, signerOf } from '../../src/openpgp/signer.js';
import { assertGnupgRuns } from '../../src/openpgp/version.js';
import { type ForeignGpg, makeForeignGpg } from '../support/foreign-gpg.js';
import { describeWith, tool } from '../support/tools.js';
import { until } from '../support/until.js';

const PLAINTEXT = randomBytes(200_000);
const MAX_BYTES = 1_000_000;
/** As software of before 2000 encrypts. */
const WITHOUT_MDC = ['--rfc2440', '--disable-mdc', '--cipher-algo', '3DES'];

describeWith('gnupg', 'OpenPGP messages', () => {
  let root: string;
  let ours: Gnupg;
  let us: string;
  let ourKeyFile: string;
  let partner: ForeignGpg;
  let stranger: ForeignGpg;
  let rule: SignerRule;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'drawbridge-openpgp-'));
    ours = { command: tool('gnupg', 'gpg'), homeDir: join(root, 'gnupg') };
    us = await makeOwnKey(ours, { name: 'Krankenhaus Süd', contact: '+49 30 1' });
    ourKeyFile = join(root, 'ours.asc');
    await writeFile(ourKeyFile, await exportPublicKey(ours, us));
    [partner, stranger] = await Promise.all([makeForeignGpg('partner'), makeForeignGpg('stranger')]);
    await Promise.all([partner.learn(ourKeyFile), stranger.learn(ourKeyFile)]);
    await know(partner);
    rule = { pinned: [partner.fingerprint], allowUnsigned: false };
  });
  afterAll(async () => {
    await Promise.all([partner?.close(), stranger?.close()]);
    await rm(root, { recursive: true, force: true });
  });

  async function know({ fingerprint, publicKeyFile }: ForeignGpg) {
    await importPartnerKeys(ours, { id: 'partner', keyFile: publicKeyFile, fingerprints: [fingerprint] });
  }

  async function open(message: Buffer, gnupg = ours) {
    const { value, signatures } = await decryptMessage({
      gnupg,
      message: chunksOf(message),
      maxBytes: MAX_BYTES,
      consume: (plaintext) => buffer(plaintext),
    });
    return { value, signer: signerOf(signatures, rule) };
  }

  async function sealed(recipients: readonly string[], gnupg = ours, plaintext = chunksOf(PLAINTEXT)) {
    const path = join(root, `${randomBytes(4).toString('hex')}.gpg`);
    const messageSink = createWriteStream(path);
    await encryptMessage({ gnupg, plaintext, signer: us, recipients, messageSink });
    return readFile(path);
  }

  const from = async (gpg: ForeignGpg, ...args: readonly string[]) =>
    (await gpg.run([...args, '--output', '-'], PLAINTEXT)).output;
  const signedBy = (gpg: ForeignGpg, ...args: readonly string[]) =>
    from(gpg, ...args, '--sign', '--encrypt', '-r', us);
  const codeOf = (opening: Promise<unknown>) =>
    opening.then(
      () => 'opened',
      (error: unknown) => (isGatewayError(error) ? error.code : String(error)),
    );

  it('a message that a plain gpg makes opens here, binary and armoured, and names its signer', async () => {
    for (const args of [[], ['--armor'], ['--compress-algo', 'zlib'], ['--throw-keyids']]) {
      const { value, signer } = await open(await signedBy(partner, ...args));
      expect([args, value.equals(PLAINTEXT), signer]).toEqual([args, true, partner.fingerprint]);
    }
  });

  it('what we make opens in a plain gpg, which finds our signature good', async () => {
    const message = await sealed([partner.fingerprint]);
    const { output, words } = await partner.run(['--status-fd', '2', '--decrypt'], message);
    expect(output.equals(PLAINTEXT)).toBe(true);
    expect(words).toContain('[GNUPG:] GOODMDC');
    expect(words).toMatch(new RegExp(`^\\[GNUPG:\\] VALIDSIG .*${us}$`, 'm'));
  });

  it('a message to several opens for each of them', async () => {
    await know(stranger);
    const message = await sealed([stranger.fingerprint, partner.fingerprint]);
    for (const gpg of [partner, stranger]) {
      expect((await gpg.run(['--decrypt'], message)).output.equals(PLAINTEXT)).toBe(true);
    }
    expect((await open(await signedBy(partner, '-r', partner.fingerprint))).signer).toBe(partner.fingerprint);
  });

  it('what lies in a message is not compressed on its way out', async () => {
    expect(
      (await sealed([partner.fingerprint], ours, chunksOf(Buffer.alloc(200_000)))).length,
    ).toBeGreaterThan(200_000);
  });

  it('a message that is changed anywhere is refused', async () => {
    const message = await signedBy(partner);
    const places = [
      0,
      1,
      3,
      12,
      40,
      90,
      100,
      130,
      300,
      70_000,
      message.length - 300,
      message.length - 25,
      message.length - 1,
    ];
    for (const place of places) {
      const changed = Buffer.from(message);
      changed.writeUInt8(changed.readUInt8(place) ^ 0x10, place);
      // Where the packets within are still whole, gpg finds the signature wrong before it has come to the end.
      expect(['PAYLOAD_DECRYPT_FAILED', 'ASSERTION_INVALID']).toContain(await codeOf(open(changed)));
    }
  });

  it('a message that is cut off or goes on is refused', async () => {
    const message = await signedBy(partner);
    for (const length of [0, 1, 20, 94, 100, 8_000, 100_000, message.length - 22, message.length - 1]) {
      expect([length, await codeOf(open(message.subarray(0, length)))]).toEqual([
        length,
        'PAYLOAD_DECRYPT_FAILED',
      ]);
    }
    expect(await codeOf(open(Buffer.concat([message, message])))).toBe('PAYLOAD_DECRYPT_FAILED');
    const literal = await from(partner, '--store', '--compress-algo', 'none');
    expect(await codeOf(open(Buffer.concat([literal, message])))).toBe('PAYLOAD_DECRYPT_FAILED');
    expect(await codeOf(open(Buffer.concat([message, literal])))).toBe('PAYLOAD_DECRYPT_FAILED');
  });

  it('a message without protection against modification is refused, though gpg can decrypt it', async () => {
    expect(await codeOf(open(await from(partner, ...WITHOUT_MDC, '--encrypt', '-r', us)))).toBe(
      'PAYLOAD_DECRYPT_FAILED',
    );
  });

  it('a message for somebody else, for a passphrase, or for nobody is refused', async () => {
    expect(await codeOf(open(await from(partner, '--sign', '--encrypt', '-r', partner.fingerprint)))).toBe(
      'PAYLOAD_DECRYPT_FAILED',
    );
    expect(await codeOf(open(await from(partner, '--passphrase', 'known', '--sign', '--symmetric')))).toBe(
      'PAYLOAD_DECRYPT_FAILED',
    );
    expect(await codeOf(open(await from(partner, '--sign')))).toBe('PAYLOAD_DECRYPT_FAILED');
    expect(await codeOf(open(PLAINTEXT))).toBe('PAYLOAD_DECRYPT_FAILED');
  });

  it('bytes of which gpg says nothing at all are refused as no message, not as a GnuPG that does not run', async () => {
    for (const first of [0x96, 0x99, 0x9a, 0x9e, 0xb8, 0xc5, 0xfd]) {
      const bytes = Buffer.concat([Buffer.of(first), Buffer.alloc(200, 0xff)]);
      expect([first, await codeOf(open(bytes))]).toEqual([first, 'PAYLOAD_DECRYPT_FAILED']);
    }
  });

  it('a passphrase file, a keyring or private keys that have gone are not held against a message', async () => {
    const message = await signedBy(partner);
    const passphraseFile = join(root, 'missing');
    expect(await codeOf(open(message, { ...ours, passphraseFile }))).toBe('OPENPGP_UNAVAILABLE');
    for (const gone of ['pubring.kbx', 'private-keys-v1.d']) {
      const homeDir = join(root, `without-${gone}`);
      await cp(ours.homeDir, homeDir, { recursive: true });
      expect((await open(message, { ...ours, homeDir })).signer).toBe(partner.fingerprint);
      await rm(join(homeDir, gone), { recursive: true });
      expect([gone, await codeOf(open(message, { ...ours, homeDir }))]).toEqual([
        gone,
        'OPENPGP_UNAVAILABLE',
      ]);
    }
  });

  it('a message that nobody signed, or somebody who is not pinned, is refused', async () => {
    const unsigned = await from(partner, '--encrypt', '-r', us);
    expect(await codeOf(open(unsigned))).toBe('SIGNER_NOT_PINNED');
    await know(stranger);
    expect(await codeOf(open(await signedBy(stranger)))).toBe('SIGNER_NOT_PINNED');
    const unknown = await makeForeignGpg('unknown');
    await unknown.learn(ourKeyFile);
    expect(await codeOf(open(await signedBy(unknown)))).toBe('SIGNER_NOT_PINNED');
    await unknown.close();
    rule = { ...rule, allowUnsigned: true };
    expect((await open(unsigned)).signer).toBeUndefined();
    expect(await codeOf(open(await signedBy(stranger)))).toBe('SIGNER_NOT_PINNED');
    rule = { ...rule, allowUnsigned: false };
  });

  it('a signature over something else is refused', async () => {
    const other = await from(partner, '--sign', '--compress-algo', 'none');
    const forged = swapLiteral(other);
    expect(await codeOf(open(await encryptedPackets(forged)))).toBe('ASSERTION_INVALID');
    expect((await open(await encryptedPackets(other))).signer).toBe(partner.fingerprint);
  });

  it('a message within a message comes out as a message, and is not opened', async () => {
    const inner = await signedBy(stranger);
    const outer = await partner.run(['--sign', '--encrypt', '-r', us, '--output', '-'], inner);
    expect((await open(outer.output)).value).toEqual(inner);
    // Without a literal packet around it, gpg would decrypt it as well.
    expect(await codeOf(open(await encryptedPackets(inner)))).toBe('PAYLOAD_DECRYPT_FAILED');
  });

  it('a signature by a subkey counts as one of its pinned primary key', async () => {
    const gpg = await makeForeignGpg('subkey');
    await gpg.run(['--passphrase', '', '--quick-add-key', gpg.fingerprint, 'ed25519', 'sign', 'never']);
    await gpg.publish();
    await gpg.learn(ourKeyFile);
    await know(gpg);
    const message = await signedBy(gpg);
    expect((await gpg.run(['--with-colons', '--list-keys'])).output.toString().match(/^sub:/gm)).toHaveLength(
      3,
    );
    rule = { ...rule, pinned: [gpg.fingerprint] };
    expect((await open(message)).signer).toBe(gpg.fingerprint);
    rule = { ...rule, pinned: [partner.fingerprint] };
    await gpg.close();
  });

  it('a signature by a key that has expired or was revoked is refused, and nothing is encrypted to it', async () => {
    const gpg = await makeForeignGpg('late');
    await gpg.learn(ourKeyFile);
    const before = await signedBy(gpg);
    await know(gpg);
    rule = { ...rule, pinned: [gpg.fingerprint] };
    expect((await open(before)).signer).toBe(gpg.fingerprint);

    await gpg.run(['--quick-set-expire', gpg.fingerprint, 'seconds=1']);
    await gpg.publish();
    await know(gpg);
    await until(async () => (await codeOf(open(before))) !== 'opened', { what: 'the key has expired' });
    expect(await codeOf(open(before))).toBe('ASSERTION_EXPIRED');
    expect(await codeOf(sealed([gpg.fingerprint]))).toBe('PEER_REFUSED');

    await gpg.run(['--quick-set-expire', gpg.fingerprint, '0']);
    const revocation = await readFile(join(gpg.home, 'openpgp-revocs.d', `${gpg.fingerprint}.rev`), 'utf8');
    await gpg.run(['--import'], Buffer.from(revocation.replace(':-----BEGIN', '-----BEGIN')));
    await gpg.publish();

    await know(gpg);
    expect(await codeOf(open(before))).toBe('KEY_REVOKED');
    expect(await codeOf(sealed([gpg.fingerprint]))).toBe('PEER_REFUSED');
    rule = { ...rule, pinned: [partner.fingerprint] };
    await gpg.close();
  });

  it('a message that swells is stopped at the limit', async () => {
    const { output } = await partner.run(
      ['--sign', '--encrypt', '-r', us, '--compress-algo', 'zlib', '--output', '-'],
      Buffer.alloc(100 * MAX_BYTES),
    );
    expect(output.length).toBeLessThan(MAX_BYTES);
    expect(await codeOf(open(output))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('nothing is encrypted to a key that is not there', async () => {
    expect(await codeOf(sealed([]))).toBe('PEER_REFUSED');
    expect(await codeOf(sealed(['A'.repeat(40)]))).toBe('PEER_REFUSED');
    expect(await codeOf(sealed([partner.fingerprint, 'A'.repeat(40)]))).toBe('PEER_REFUSED');
  });

  it('a step that is stopped ends gpg, and its agent', async () => {
    const stop = new AbortController();
    const endless = async function* () {
      for (;;) {
        yield randomBytes(1 << 16);
        await new Promise((resume) => setImmediate(resume));
      }
    };
    const messageSink = createWriteStream(join(root, 'endless.gpg'));
    messageSink.once('pipe', () => stop.abort());
    const recipients = [partner.fingerprint];
    const running = encryptMessage({
      gnupg: ours,
      plaintext: endless(),
      signer: us,
      recipients,
      messageSink,
      signal: stop.signal,
    });
    setImmediate(() => stop.abort());
    expect(await codeOf(running)).toBe('CANCELLED');
    await noneLeft();
  });

  it('a gpg that is killed from outside is tried again, and not taken for a broken message', async () => {
    const message = await signedBy(partner);
    const killing = decryptMessage({
      gnupg: ours,
      message: (async function* () {
        yield message.subarray(0, 1_000);
        for (const pid of await gpgsOf(process.pid)) process.kill(pid, 'SIGKILL');
        yield message.subarray(1_000);
      })(),
      maxBytes: MAX_BYTES,
      consume: buffer,
    });
    expect(await codeOf(killing)).toBe('CANCELLED');
    await noneLeft();
  });

  it('a large stream passes through in constant memory', async () => {
    const bytes = 200 * 1024 * 1024;
    const piece = randomBytes(1 << 20);
    const path = join(root, 'large.gpg');
    let peak = 0;
    const sent = createHash('sha256');
    const plaintext = async function* () {
      for (let done = 0; done < bytes; done += piece.length) {
        sent.update(piece);
        peak = Math.max(peak, process.memoryUsage().rss);
        yield piece;
      }
    };
    const before = process.memoryUsage().rss;
    await encryptMessage({
      gnupg: ours,
      plaintext: plaintext(),
      signer: us,
      recipients: [us],
      messageSink: createWriteStream(path),
    });
    const seen = createHash('sha256');
    const { signatures } = await decryptMessage({
      gnupg: ours,
      message: createReadStream(path),
      maxBytes: bytes,
      async consume(opened) {
        for await (const chunk of opened) {
          seen.update(chunk);
          peak = Math.max(peak, process.memoryUsage().rss);
        }
      },
    });
    expect(signatures).toEqual([{ verdict: 'good', primaryFingerprint: us }]);
    expect(seen.digest('hex')).toBe(sent.digest('hex'));
    expect(peak - before).toBeLessThan(100 * 1024 * 1024);
  });

  it('a key with a passphrase needs its file', async () => {
    const passphraseFile = join(root, 'passphrase');
    await writeFile(passphraseFile, 'eine lange Parole\n');
    const locked: Gnupg = { ...ours, homeDir: join(root, 'locked'), passphraseFile };
    await ensureGnupgHome(locked);
    // How often the passphrase is hashed: as little as may be, for the test's sake.
    await writeFile(join(locked.homeDir, 'gpg-agent.conf'), 's2k-count 65536\n');
    const fingerprint = await makeOwnKey(locked, { name: 'Locked', contact: 'it@example.org' });
    await writeFile(join(root, 'locked.asc'), await exportPublicKey(locked, fingerprint));
    await partner.learn(join(root, 'locked.asc'));
    const message = await from(partner, '--encrypt', '-r', fingerprint);
    const openWith = (gnupg: Gnupg) =>
      decryptMessage({ gnupg, message: chunksOf(message), maxBytes: MAX_BYTES, consume: buffer });
    expect((await openWith(locked)).value.equals(PLAINTEXT)).toBe(true);
    const { passphraseFile: _, ...without } = locked;
    expect(await codeOf(openWith(without))).toBe('KEY_LOCKED');
    await writeFile(passphraseFile, 'eine andere\n');
    expect(await codeOf(openWith(locked))).toBe('KEY_LOCKED');
  });

  it('a key that was made elsewhere is brought in, and the newest one signs', async () => {
    const moved: Gnupg = { ...ours, homeDir: join(root, 'moved') };
    expect(await codeOf(ownKey(moved))).toBe('OPENPGP_UNAVAILABLE');
    await ensureGnupgHome(moved);
    expect(await codeOf(ownKey(moved))).toBe('OPENPGP_UNAVAILABLE');
    const { output } = await stranger.run(['--export-secret-keys', stranger.fingerprint]);
    await writeFile(join(root, 'secret.gpg'), output, { mode: 0o600 });
    expect(await importOwnKey(moved, join(root, 'secret.gpg'))).toBe(stranger.fingerprint);
    expect(await ownKey(moved)).toMatchObject({ fingerprint: stranger.fingerprint, secret: true });
    expect(await codeOf(importOwnKey(moved, partner.publicKeyFile))).toBe('REQUEST_INVALID');
  });

  it('a partner’s file with a key that is not pinned, a private key, or none at all is refused', async () => {
    const file = join(root, 'partner.asc');
    const taking = async (bytes: Buffer) => {
      await writeFile(file, bytes);
      return codeOf(
        importPartnerKeys(ours, { id: 'partner', keyFile: file, fingerprints: [partner.fingerprint] }),
      );
    };
    const [one, two] = await Promise.all([readFile(partner.publicKeyFile), readFile(stranger.publicKeyFile)]);
    expect(await taking(one)).toBe('opened');
    expect(await taking(two)).toBe('CONFIG_INVALID');
    expect(await taking(Buffer.concat([one, two]))).toBe('CONFIG_INVALID');
    expect(await taking((await partner.run(['--export-secret-keys', partner.fingerprint])).output)).toBe(
      'CONFIG_INVALID',
    );
    expect(await taking(Buffer.from('no key'))).toBe('CONFIG_INVALID');
    const missing = { id: 'partner', keyFile: join(root, 'missing'), fingerprints: [] };
    expect(await codeOf(importPartnerKeys(ours, missing))).toBe('CONFIG_INVALID');
  });

  it('a program that is missing, or is no GnuPG, is told', async () => {
    expect(await codeOf(assertGnupgRuns(ours))).toBe('opened');
    expect(await codeOf(assertGnupgRuns({ ...ours, command: join(root, 'gpg') }))).toBe(
      'OPENPGP_UNAVAILABLE',
    );
    expect(await codeOf(assertGnupgRuns({ ...ours, command: process.execPath }))).toBe('OPENPGP_UNAVAILABLE');
    expect(await codeOf(sealed([us], { ...ours, command: join(root, 'gpg') }))).toBe('OPENPGP_UNAVAILABLE');
  });

  it('no agent, and no folder of one, is left behind', async () => {
    await noneLeft();
  });

  /** Agents in workshops of this home; those of other tests may live meanwhile. */
  async function noneLeft() {
    const left = async () => {
      const links = await Promise.all(
        (await readdir(tmpdir()))
          .filter((name) => name.startsWith('drawbridge-gpg-'))
          .map((name) => readlink(join(tmpdir(), name, 'gpg.conf')).catch(() => '')),
      );
      return links.filter((link) => link.startsWith(root));
    };
    await until(async () => (await left()).length === 0, { what: 'no workshop is left' });
    const agents = async () =>
      (await commandLines()).filter((line) => line.includes('--daemon') && line.includes(root));
    await until(async () => (await agents()).length === 0, { what: 'no agent is left' });
  }

  /** A message that is encrypted to us and whose packets within are `packets`, without a literal packet around them. */
  async function encryptedPackets(packets: Buffer): Promise<Buffer> {
    return (
      await partner.run(
        ['--encrypt', '--no-literal', '-r', us, '--compress-algo', 'none', '--output', '-'],
        packets,
      )
    ).output;
  }
});

async function* chunksOf(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < bytes.length; at += 60_000) yield bytes.subarray(at, at + 60_000);
}

/** The same packets, with one byte of what was signed changed. */
function swapLiteral(signed: Buffer): Buffer {
  const forged = Buffer.from(signed);
  forged.writeUInt8(forged.readUInt8(5_000) ^ 1, 5_000);
  return forged;
}

/** Of every process. */
async function commandLines(): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
}

/** The processes of gpg that `parent` has started. */
async function gpgsOf(parent: number): Promise<readonly number[]> {
  const children = await new Promise<string>((done) => {
    const ps = spawn('ps', ['-o', 'pid=,comm=', '--ppid', String(parent)]);
    buffer(ps.stdout).then((bytes) => done(bytes.toString()));
  });
  return children.split('\n').flatMap((line) => (/ gpg$/.test(line) ? [Number.parseInt(line, 10)] : []));
}

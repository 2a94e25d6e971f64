/** OpenPGP on the command line: our key, an envelope for a partner’s GnuPG, and one that a partner has made with it. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { drawbridge, drawbridgeJson } from '../support/cli.js';
import { type ForeignGpg, makeForeignGpg } from '../support/foreign-gpg.js';
import { runProcess } from '../support/processes.js';
import { describeWith } from '../support/tools.js';

describeWith('gnupg', 'OpenPGP on the command line', () => {
  let root: string;
  let config: string;
  let partner: ForeignGpg;
  let ourFingerprint: string;
  let plainArchive: Buffer;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'drawbridge-cli-openpgp-'));
    config = join(root, 'drawbridge.yaml');
    partner = await makeForeignGpg('partner');
    await configure({});
    for (const name of ['a', 'b']) await drawbridge('keygen', '--out', join(root, name));
    await makeStudy({ kind: 'ct', out: join(root, 'study'), slices: 2, rows: 16 });
    const made = await keys();
    ourFingerprint = String(made['fingerprint']);
    await writeFile(join(root, 'ours.asc'), String(made['public_key']));
    await partner.learn(join(root, 'ours.asc'));
  });
  afterAll(async () => {
    await partner?.close();
    await rm(root, { recursive: true, force: true });
  });

  const home = () => join(root, 'data', 'keys', 'gnupg');
  const keys = (...args: readonly string[]) => drawbridgeJson('keys', 'openpgp', '--config', config, ...args);

  async function configure(peer: Record<string, unknown>) {
    const entry = {
      id: 'clinic',
      name: 'Clinic',
      url: 'https://clinic.example',
      certificateFingerprints: ['0'.repeat(64)],
    };
    const settings = {
      site: { id: 'site-a', name: 'Hospital A', contact: 'pacs@a.example' },
      peers: [{ ...entry, seal: 'openpgp', openpgpFingerprints: [partner.fingerprint], ...peer }],
    };
    await writeFile(config, JSON.stringify(settings));
  }

  const seal = (...to: readonly string[]) =>
    drawbridgeJson(
      ...[
        'seal',
        join(root, 'study'),
        '--sender-id',
        'site-a',
        '--receiver-id',
        'clinic',
        '--out',
        join(root, 'out'),
      ],
      ...['--sign-with', join(root, 'a', 'signing.key'), ...to],
    );
  const open = async (path: string, ...args: readonly string[]) => {
    const folder = join(await mkdtemp(join(root, 'opened-')), 'payload');
    const opened = await drawbridgeJson('open', path, '--out', folder, ...args);
    return { opened, names: await readdir(folder, { recursive: true }).catch(() => []) };
  };
  const ours = (...signers: readonly string[]) => [
    '--gnupg-home',
    home(),
    ...signers.flatMap((each) => ['--openpgp-signer', each]),
  ];

  it('our key is made once, shown, and exported for partners', async () => {
    expect(await keys()).toMatchObject({
      exit: 0,
      fingerprint: ourFingerprint,
      user_id: 'Hospital A <pacs@a.example>',
    });
    expect((await drawbridge('keys', 'openpgp', '--config', config, '--export')).stdout).toMatch(
      /^-----BEGIN PGP PUBLIC KEY BLOCK-----/,
    );
    const renewed = await keys('--new', '--expires', '2y');
    expect(renewed['fingerprint']).not.toBe(ourFingerprint);
  });

  it('a partner’s wrong key, a missing program and a missing key are told by check-config', async () => {
    const checked = (...args: readonly string[]) =>
      drawbridgeJson('check-config', '--config', config, ...args);
    await configure({ openpgpKeyFile: partner.publicKeyFile });
    expect(await checked()).toMatchObject({ exit: 0 });
    await configure({ openpgpKeyFile: partner.publicKeyFile, openpgpFingerprints: ['A'.repeat(40)] });
    expect(await checked()).toMatchObject({ exit: 78, code: 'CONFIG_INVALID' });
    await configure({ openpgpFingerprints: [] });
    expect(await checked()).toMatchObject({ exit: 78, code: 'CONFIG_INVALID' });
    await configure({});
    const settings = JSON.parse(await readFile(config, 'utf8'));
    await writeFile(config, JSON.stringify({ ...settings, openpgp: { command: join(root, 'gpg') } }));
    expect(await checked()).toMatchObject({ exit: 1, code: 'OPENPGP_UNAVAILABLE' });
    await writeFile(config, JSON.stringify({ ...settings, openpgp: { homeDir: 'elsewhere' } }));
    expect(await checked()).toMatchObject({ exit: 1, code: 'OPENPGP_UNAVAILABLE' });
    await configure({});
  });

  it('a study that is sealed for a partner’s OpenPGP key is a tar in the partner’s gpg', async () => {
    const imported = await runProcess({
      command: 'gpg',
      args: ['--homedir', home(), '--batch', '--no-autostart', '--import', partner.publicKeyFile],
    });
    expect(imported.code).toBe(0);
    const sealed = await seal('--openpgp', partner.fingerprint, '--gnupg-home', home());
    expect(sealed).toMatchObject({ exit: 0, instances: 2, path: expect.stringMatching(/\.JMIX\.tar\.gpg$/) });
    const { output } = await partner.run(['--decrypt'], await readFile(String(sealed['path'])));
    plainArchive = output;
    expect(output.subarray(257, 262).toString()).toBe('ustar');
    expect(await seal('--openpgp', partner.fingerprint)).toMatchObject({ code: 'REQUEST_INVALID' });
    expect(await seal('--openpgp', 'B'.repeat(40), '--gnupg-home', home())).toMatchObject({
      code: 'PEER_REFUSED',
    });
    expect(await readdir(join(root, 'out'))).toHaveLength(1);
  });

  it('a partner’s message is opened and verified when its signer is named, and else not', async () => {
    const path = join(root, 'from-partner');
    await writeFile(
      path,
      (await partner.run(['--sign', '--encrypt', '-r', ourFingerprint, '-o', '-'], plainArchive)).output,
    );
    const { opened, names } = await open(path, ...ours(partner.fingerprint.toLowerCase()));
    expect(opened).toMatchObject({
      exit: 0,
      instances: 2,
      signed_by: `OpenPGP ${partner.fingerprint}`,
      payload_signed: true,
    });
    expect(names.filter((name) => name.endsWith('.dcm'))).toHaveLength(2);
    expect(await drawbridgeJson('verify', path, ...ours(partner.fingerprint))).toMatchObject({
      exit: 0,
      signed_by: `OpenPGP ${partner.fingerprint}`,
      payload_verified: true,
    });
    for (const [args, code] of [
      [ours(ourFingerprint), 'SIGNER_NOT_PINNED'],
      [[...ours(), '--signer', join(root, 'a', 'signing.pub')], 'SIGNER_NOT_PINNED'],
      [['--openpgp-signer', partner.fingerprint], 'REQUEST_INVALID'],
    ] as const) {
      const refused = await open(path, ...args);
      expect([refused.opened['code'], refused.names]).toEqual([code, []]);
    }
  });

  it('an unsigned message is opened only with --allow-unsigned', async () => {
    const path = join(root, 'unsigned.gpg');
    await writeFile(
      path,
      (await partner.run(['--encrypt', '-r', ourFingerprint, '-o', '-'], plainArchive)).output,
    );
    expect((await open(path, ...ours(partner.fingerprint))).opened).toMatchObject({
      code: 'SIGNER_NOT_PINNED',
    });
    expect((await open(path, ...ours(), '--allow-unsigned')).opened).toMatchObject({ exit: 0, instances: 2 });
  });

  it('a signer of OpenPGP says nothing of an envelope that is no message', async () => {
    const path = join(root, 'plain.tar');
    await writeFile(path, plainArchive);
    expect((await open(path, ...ours(partner.fingerprint))).opened).toMatchObject({
      code: 'REQUEST_INVALID',
    });
  });

  it('a message that holds no envelope is refused, and nothing of it appears', async () => {
    const path = join(root, 'other.gpg');
    for (const [content, code] of [
      [Buffer.from('a letter'), 'ENVELOPE_MALFORMED'],
      [await readFile(path).catch(() => Buffer.from('PK\x03\x04, but no zip')), 'ENVELOPE_MALFORMED'],
    ] as const) {
      await writeFile(
        path,
        (await partner.run(['--sign', '--encrypt', '-r', ourFingerprint, '-o', '-'], content)).output,
      );
      const refused = await open(path, ...ours(partner.fingerprint));
      expect([refused.opened['code'], refused.names]).toEqual([code, []]);
    }
  });

  it('inspect tells what a message holds, signed by whomever, and says what it needs for that', async () => {
    const made = await seal('--openpgp', ourFingerprint, '--gnupg-home', home());
    const path = String(made['path']);
    expect(await drawbridgeJson('inspect', path)).toMatchObject({ ok: false, code: 'REQUEST_INVALID' });
    const told = await drawbridgeJson('inspect', path, '--gnupg-home', home());
    expect(told).toMatchObject({ ok: true, id: made['id'], sealed: false });
  });

  it('a pipe is no envelope, and is not waited at', async () => {
    const pipe = join(root, 'pipe');
    await runProcess({ command: 'mkfifo', args: [pipe] });
    expect(await drawbridgeJson('inspect', pipe)).toMatchObject({ code: 'MEDIA_TYPE_UNSUPPORTED' });
  });
});

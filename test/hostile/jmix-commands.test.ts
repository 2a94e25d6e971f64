/** Hostile envelopes through the commands: `open` and `verify` refuse each for the same reason, and leave nothing behind. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { rawPrivateKey, rawPublicKey } from '../../src/jmix/raw-keys.js';
import { drawbridgeJson } from '../support/cli.js';
import { type RawEntry, tarOf } from '../unit/jmix/support/archives.js';
import { payloadFile, RECIPIENT, SIGNER, STRANGER, sealInMemory } from '../unit/jmix/support/sealing.js';
import { rawZip } from './support/raw-zip.js';

let root: string;
let keys: readonly string[];
let instance: Buffer;
let sopInstanceUid: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'jmix-commands-'));
  const write = async (name: string, raw: Buffer) => {
    const path = join(root, name);
    await writeFile(path, raw.toString('base64'), { mode: 0o600 });
    return path;
  };
  keys = [
    ...['--key', await write('encryption.key', rawPrivateKey(RECIPIENT.privateKey))],
    ...['--signer', await write('signing.pub', rawPublicKey(SIGNER.publicKey))],
  ];
  const [made] = await makeStudy({ kind: 'ct', out: join(root, 'made'), slices: 1, rows: 16 });
  instance = await readFile(made?.path ?? '');
  sopInstanceUid = made?.sopInstanceUid ?? '';
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function entriesOf(
  files: readonly (readonly [name: string, bytes: Buffer])[],
  more: Parameters<typeof sealInMemory>[0] = {},
): Promise<RawEntry[]> {
  const { sealed, payload } = await sealInMemory({
    files: files.map(([name, bytes]) => payloadFile(name, bytes)),
    ...more,
  });
  return [
    { name: 'manifest.json', content: sealed.manifest },
    { name: 'manifest.jws', content: sealed.jws },
    { name: 'payload.encrypted', content: payload },
  ];
}

/** What both commands say of the archive; `open` into `out`. */
async function judged(archive: Buffer, more: readonly string[] = []) {
  const folder = await mkdtemp(join(root, 'case-'));
  const path = join(folder, 'envelope');
  const out = join(folder, 'out');
  await writeFile(path, archive);
  const verified = await drawbridgeJson('verify', path, ...keys, ...more);
  const opened = await drawbridgeJson('open', path, '--out', out, ...keys, ...more);
  return { opened, verified, out, left: await readdir(folder) };
}

const good = () => entriesOf([[`dicom/${sopInstanceUid}.dcm`, instance]]);
const beginningWith = (head: string) => {
  const bytes = Buffer.from(instance);
  bytes.write(head, 'latin1');
  return bytes;
};

describe('an envelope', () => {
  it.each<[string, string, () => Promise<Buffer>]>([
    ['cut off', 'ENVELOPE_MALFORMED', async () => tarOf(await good()).subarray(0, 5000)],
    [
      'with a link',
      'ARCHIVE_UNSAFE',
      async () => tarOf([...(await good()), { name: 'payload/x', type: '2' }]),
    ],
    [
      'with bytes that its zip hides',
      'ARCHIVE_UNSAFE',
      async () => rawZip(await good(), { gap: Buffer.from('PK\x03\x04 hidden') }),
    ],
    [
      'of a stranger',
      'SIGNER_NOT_PINNED',
      async () => tarOf(await entriesOf([['dicom/1.dcm', instance]], { signingKey: STRANGER.privateKey })),
    ],
    [
      'with a changed payload',
      'PAYLOAD_DECRYPT_FAILED',
      async () => {
        const [manifest, jws, payload] = await good();
        const bytes = Buffer.from(payload?.content ?? '');
        bytes[1000] = (bytes[1000] ?? 0) ^ 1;
        return tarOf(
          [manifest, jws, { name: 'payload.encrypted', content: bytes }].filter((it) => it !== undefined),
        );
      },
    ],
    [
      'whose instance has the name of another',
      'PAYLOAD_INCONSISTENT',
      async () => tarOf(await entriesOf([['dicom/1.2.826.0.1.3680043.10.1234.5.dcm', instance]])),
    ],
    [
      'whose instance is a program too',
      'ARCHIVE_UNSAFE',
      async () => tarOf(await entriesOf([[`dicom/${sopInstanceUid}.dcm`, beginningWith('MZ')]])),
    ],
    [
      'whose program says that it is an instance, and is none',
      'ARCHIVE_UNSAFE',
      async () => tarOf(await entriesOf([['dicom/1.dcm', beginningWith('MZ').subarray(0, 140)]])),
    ],
  ])('%s is %s to both, and nothing of it is left', async (_, code, make) => {
    const { opened, verified, left } = await judged(await make());
    expect([opened['code'], verified['code']]).toEqual([code, code]);
    expect(opened.exit).toBe(1);
    expect(left).toEqual(['envelope']);
  });

  it('that is good opens, right after', async () => {
    const { opened, verified, out } = await judged(tarOf(await good()));
    expect([opened.exit, verified.exit]).toEqual([0, 0]);
    expect(await readFile(join(out, 'dicom', `${sopInstanceUid}.dcm`))).toEqual(instance);
  });
});

describe('an instance that is a program too', () => {
  const archive = async () =>
    tarOf(
      await entriesOf([
        ['dicom/a.dcm', beginningWith('MZ')],
        ['files/a.exe', Buffer.from('MZ')],
      ]),
    );

  it('is written as it is with --preamble keep', async () => {
    const { opened, verified, out } = await judged(await archive(), ['--preamble', 'keep']);
    expect([opened.exit, verified.exit]).toEqual([0, 0]);
    expect(await readFile(join(out, 'dicom/a.dcm'))).toEqual(beginningWith('MZ'));
  });

  it('is written with 128 zeros in front with --preamble blank, and nothing else is touched', async () => {
    const { opened, out } = await judged(await archive(), ['--preamble', 'blank']);
    expect(opened.exit).toBe(0);
    expect(await readFile(join(out, 'dicom/a.dcm'))).toEqual(instance);
    expect(await readFile(join(out, 'files/a.exe'), 'utf8')).toBe('MZ');
  });
});

it('a folder that exists and is not empty is left as it is', async () => {
  const folder = await mkdtemp(join(root, 'full-'));
  await mkdir(join(folder, 'out'));
  await writeFile(join(folder, 'out', 'mine'), 'mine');
  await writeFile(join(folder, 'envelope'), tarOf(await good()));
  const { code } = await drawbridgeJson(
    'open',
    join(folder, 'envelope'),
    '--out',
    join(folder, 'out'),
    ...keys,
  );
  expect(code).toBe('REQUEST_INVALID');
  expect(await readdir(join(folder, 'out'))).toEqual(['mine']);
});

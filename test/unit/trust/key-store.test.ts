/** Our keys through rotations, revocations and power cuts: what is on the disk afterwards, and what is told to partners. */
import type { KeyObject } from 'node:crypto';
import { chmod, cp, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KEY_DISK } from '../../../src/compose/key-disk.js';
import { jwkThumbprint } from '../../../src/jmix/jwk-thumbprint.js';
import { rawPrivateKey, rawPublicKey } from '../../../src/jmix/raw-keys.js';
import { readAnnouncement } from '../../../src/trust/announcement.js';
import { retireKey, revokeKeys } from '../../../src/trust/key-change.js';
import { generatePrivateKey, keyText, readPrivateKey } from '../../../src/trust/key-files.js';
import { generationPath, presentOf } from '../../../src/trust/key-ring.js';
import { loadKeys, settleKeys } from '../../../src/trust/key-store.js';
import type { SiteKeys } from '../../../src/trust/site-keys.js';
import { BOTH, DAY_MS, failingDisk, makeKeys, NOW, type TestKeys } from './support/own-keys.js';

let own: TestKeys;

beforeEach(async () => {
  own = await makeKeys();
});
afterEach(() => rm(own.folder.path, { recursive: true, force: true }));

const kidOf = (key: KeyObject) => jwkThumbprint(key);
const kidsOf = (keys: SiteKeys) => ({
  encryption: kidOf(keys.encryption.publicKey),
  signing: kidOf(keys.signing.publicKey),
});
const privateFiles = async () =>
  (await readdir(join(own.folder.path, 'generations'))).filter((name) => name.endsWith('.key')).sort();
const filesOf = (...kids: readonly string[]) => kids.map((kid) => `${kid}.key`).sort();

/** Kids of the signing keys that the one of `before` vouches for. */
function announcedBy(before: SiteKeys, { announcements }: SiteKeys): readonly string[] {
  return announcements.flatMap((jws) => {
    try {
      return readAnnouncement(jws, [before.signing.publicKey]).signing.map(({ kid }) => kid);
    } catch {
      return [];
    }
  });
}

/** What is true whatever has happened: the keys work, and whoever knew the ones before can follow. */
async function assertUsable(keys: SiteKeys, before: SiteKeys): Promise<void> {
  for (const pair of [keys.encryption, keys.signing]) {
    expect(rawPublicKey(pair.privateKey)).toEqual(rawPublicKey(pair.publicKey));
  }
  const now = kidsOf(keys);
  expect(keys.decryption.map(kidOf)[0]).toBe(now.encryption);
  expect(keys.decryption.map(kidOf)).toContain(kidsOf(before).encryption);
  if (now.signing === kidsOf(before).signing) return;
  expect(announcedBy(before, keys)).toContain(now.signing);
}

describe('a power cut', () => {
  it('at any write of a rotation leaves keys that work, and a repeat finishes it', async () => {
    const before = await own.read();
    for (let steps = 0; ; steps++) {
      const path = await mkdtemp(join(tmpdir(), 'drawbridge-cut-'));
      await cp(own.folder.path, path, { recursive: true });
      const cut = await makeKeys(undefined, path);
      const isWhole = await cut.rotate(BOTH, failingDisk(steps)).then(
        () => true,
        () => false,
      );
      const after = await cut.read();
      await assertUsable(after, before);

      await cut.ensure();
      expect(kidsOf(await cut.read())).toEqual(kidsOf(after));
      for (const purpose of BOTH) {
        expect(kidOf(await readPrivateKey(join(path, `${purpose}.key`), purpose))).toBe(
          kidsOf(after)[purpose],
        );
        expect(await readFile(join(path, `${purpose}.pub`), 'utf8')).toBe(
          `${rawPublicKey(after[purpose].publicKey).toString('base64')}\n`,
        );
      }
      await cut.rotate();
      const again = await cut.read();
      await assertUsable(again, after);
      expect(again.decryption.map(kidOf)).toContain(kidsOf(before).encryption);
      await rm(path, { recursive: true, force: true });
      if (isWhole) {
        expect(steps).toBeGreaterThan(5);
        return;
      }
    }
  });

  it('leaves no private key behind that no list names, an hour later', async () => {
    await own.rotate();
    const kept = await privateFiles();
    await expect(own.rotate(BOTH, failingDisk(2))).rejects.toThrow('power');
    const [orphan] = (await privateFiles()).filter((name) => !kept.includes(name));
    if (orphan === undefined) throw new Error('no new key was written');
    await own.ensure();
    expect(await privateFiles()).toContain(orphan);
    const old = new Date(Date.now() - 2 * 3_600_000);
    await utimes(join(own.folder.path, 'generations', orphan), old, old);
    const temporary = join(own.folder.path, '.0f8b7c1e.tmp');
    await writeFile(temporary, 'half a key');
    await utimes(temporary, old, old);
    await own.ensure();
    expect(await privateFiles()).toEqual(kept);
    expect(await readdir(own.folder.path)).not.toContain('.0f8b7c1e.tmp');
  });
});

describe('two changes at once', () => {
  it('do not mix: one is refused, and leaves nothing behind', async () => {
    const before = await own.read();
    const results = await Promise.allSettled([own.rotate(), own.rotate(), own.rotate()]);
    const done = results.filter(({ status }) => status === 'fulfilled').length;
    for (const each of results) {
      if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'STATE_INVALID' });
    }
    expect(done).toBeGreaterThan(0);
    const { ring } = await loadKeys(own.folder, NOW);
    expect(ring.revision).toBe(done);
    expect(ring.generations).toHaveLength(2 + 2 * done);
    const kids = ring.generations.filter(({ state }) => state !== 'retired').map(({ kid }) => kid);
    expect(await privateFiles()).toEqual(filesOf(...kids));
    await assertUsable(await own.read(), before);
  });
});

describe('a rotation', () => {
  it('of the signing key removes the old private half, and keeps a revocation by it that is not told', async () => {
    const before = await own.read();
    const ring = await own.rotate(['signing']);
    const after = await own.read();
    expect(await privateFiles()).toEqual(filesOf(kidsOf(after).encryption, kidsOf(after).signing));
    expect(kidsOf(after).encryption).toBe(kidsOf(before).encryption);
    const old = ring.generations.find(({ kid }) => kid === kidsOf(before).signing);
    expect(old).toMatchObject({ state: 'retired' });
    expect(readAnnouncement(old?.revocation ?? '', [before.signing.publicKey])).toMatchObject({
      revoked: [kidsOf(before).signing],
      signing: [],
      encryption: [],
    });
    expect(after.announcements).not.toContain(old?.revocation);
  });

  it('is told by the key before, each by each, as long as keys.overlapDays says', async () => {
    const first = await own.read();
    await own.rotate(['signing']);
    const second = await own.read();
    own.time.ms += 20 * DAY_MS;
    await own.rotate();
    const third = await own.read();
    expect(third.announcements).toHaveLength(2);
    const [one = '', two = ''] = third.announcements;
    expect(readAnnouncement(one, [first.signing.publicKey])).toMatchObject({
      site: 'site-a',
      signing: [{ kid: kidsOf(second).signing }],
      encryption: [{ kid: kidsOf(first).encryption }],
    });
    expect(readAnnouncement(two, [second.signing.publicKey])).toMatchObject({
      signing: [{ kid: kidsOf(third).signing }],
      encryption: [{ kid: kidsOf(third).encryption }],
    });
    own.time.ms += 10 * DAY_MS;
    expect(third.announcements).toEqual([two]);
  });

  it('of the encryption key is told by the signing key, which stays', async () => {
    await own.rotate(['encryption']);
    const { signing, announcements, encryption } = await own.read();
    expect(announcements.map((jws) => readAnnouncement(jws, [signing.publicKey]))).toMatchObject([
      { signing: [{ kid: kidOf(signing.publicKey) }], encryption: [{ kid: kidOf(encryption.publicKey) }] },
    ]);
  });

  it('lets the old encryption key open until its time is over; then its private half goes', async () => {
    const before = kidsOf(await own.read()).encryption;
    await own.rotate();
    const keys = await own.read();
    expect(keys.decryption.map(kidOf)).toEqual([kidsOf(keys).encryption, before]);
    own.time.ms += 30 * DAY_MS;
    expect(keys.decryption.map(kidOf)).toEqual([kidsOf(keys).encryption]);
    expect(await privateFiles()).toContain(`${before}.key`);
    await settleKeys(own.folder, KEY_DISK, own.time.ms);
    expect(await privateFiles()).toEqual(filesOf(kidsOf(keys).encryption, kidsOf(keys).signing));
    expect(kidsOf(await own.read())).toEqual(kidsOf(keys));
  });
});

describe('retiring', () => {
  const retire = (kid: string) => own.change((loaded) => retireKey(loaded, kid, own.context()));

  it('refuses a key that there is not, and a present one', async () => {
    const { encryption } = kidsOf(await own.read());
    await expect(retire('A'.repeat(43))).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    await expect(retire(encryption)).rejects.toMatchObject({ code: 'STATE_INVALID' });
  });

  it('removes the private half, and may be repeated', async () => {
    const before = kidsOf(await own.read()).encryption;
    await own.rotate();
    const { revision } = await retire(before);
    expect((await own.read()).decryption).toHaveLength(1);
    expect(await privateFiles()).not.toContain(`${before}.key`);
    expect((await retire(before)).revision).toBe(revision);
  });
});

describe('revoking', () => {
  const revoke = (...kids: readonly string[]) =>
    own.change((loaded) => revokeKeys(loaded, kids, own.context()));

  it('the present signing key: only it says so, and nothing vouches for the next one', async () => {
    const before = await own.read();
    await revoke(kidsOf(before).signing);
    const after = await own.read();
    expect(kidsOf(after).signing).not.toBe(kidsOf(before).signing);
    expect(after.announcements.map((jws) => readAnnouncement(jws, [before.signing.publicKey]))).toMatchObject(
      [{ revoked: [kidsOf(before).signing], signing: [], encryption: [] }],
    );
    expect(await privateFiles()).toEqual(filesOf(...Object.values(kidsOf(after))));
  });

  it('both present keys at once: one statement for both, and both are new', async () => {
    const before = await own.read();
    await revoke(...Object.values(kidsOf(before)));
    const after = await own.read();
    const [told = ''] = after.announcements;
    const { revoked, encryption } = readAnnouncement(told, [before.signing.publicKey]);
    expect([...revoked].sort()).toEqual(Object.values(kidsOf(before)).sort());
    expect(encryption).toEqual([]);
    expect(after.decryption.map(kidOf)).toEqual([kidsOf(after).encryption]);
  });

  it('both present keys at once: the older encryption keys of that folder too, the signer’s own at last', async () => {
    const olds: string[] = [];
    for (let round = 0; round < 33; round++) {
      olds.push(kidsOf(await own.read()).encryption);
      await own.rotate(['encryption']);
    }
    const before = await own.read();
    await revoke(...Object.values(kidsOf(before)));
    const after = await own.read();
    expect(after.decryption.map(kidOf)).toEqual([kidsOf(after).encryption]);
    expect(after.revoked).toHaveLength(34);
    const told = after.announcements
      .map((jws) => readAnnouncement(jws, [before.signing.publicKey]).revoked)
      .filter((kids) => kids.length > 0);
    expect(told.flat().sort()).toEqual([...olds, ...Object.values(kidsOf(before))].sort());
    expect(told.map((kids) => kids.includes(kidsOf(before).signing))).toEqual([false, true]);
  });

  it('one present key leaves the older encryption keys alone', async () => {
    const before = await own.read();
    await own.rotate(['encryption']);
    await revoke(kidsOf(await own.read()).encryption);
    expect((await own.read()).decryption.map(kidOf)).toContain(kidsOf(before).encryption);
  });

  it('the present encryption key: the signing key names the next one, and nothing is opened by the old one', async () => {
    const before = await own.read();
    await revoke(kidsOf(before).encryption);
    const after = await own.read();
    expect(kidsOf(after).signing).toBe(kidsOf(before).signing);
    expect(after.announcements.map((jws) => readAnnouncement(jws, [before.signing.publicKey]))).toMatchObject(
      [
        { revoked: [], encryption: [{ kid: kidsOf(after).encryption }] },
        { revoked: [kidsOf(before).encryption], signing: [], encryption: [] },
      ],
    );
    expect(after.decryption.map(kidOf)).toEqual([kidsOf(after).encryption]);
    expect(after.revoked.map(kidOf)).toEqual([kidsOf(before).encryption]);
    const [, revocation] = after.announcements;
    own.time.ms += 30 * DAY_MS;
    await own.ensure();
    expect(await privateFiles()).toEqual(filesOf(...Object.values(kidsOf(after))));
    // Only the revocation is told for ever: an old key must not look like news.
    expect((await own.read()).announcements).toEqual([revocation]);
  });

  it('an old signing key: its own revocation is told, for ever, though its private half is gone', async () => {
    const before = await own.read();
    await own.rotate(['signing']);
    await revoke(kidsOf(before).signing);
    own.time.ms += 1000 * DAY_MS;
    const after = await own.read();
    expect(after.announcements.map((jws) => readAnnouncement(jws, [before.signing.publicKey]))).toMatchObject(
      [{ revoked: [kidsOf(before).signing] }],
    );
  });

  it('may be repeated, and refuses a key that there is not', async () => {
    const { signing } = kidsOf(await own.read());
    const { revision } = await revoke(signing);
    expect((await revoke(signing)).revision).toBe(revision);
    await expect(revoke('A'.repeat(43))).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  });
});

describe('what somebody does to the folder by hand', () => {
  it('a strange key in the place of the present one is refused by name, and not overwritten', async () => {
    await own.rotate();
    const path = join(own.folder.path, 'encryption.key');
    const text = keyText(rawPrivateKey(generatePrivateKey('encryption')));
    await writeFile(path, text);
    await expect(own.ensure()).rejects.toMatchObject({
      code: 'KEY_UNREADABLE',
      message: expect.stringContaining(path),
    });
    expect(await readFile(path, 'utf8')).toBe(text);
  });

  it('the copy of a present key that others can read is refused, also after a rotation', async () => {
    await own.rotate();
    for (const name of ['encryption.key', 'signing.key']) {
      const path = join(own.folder.path, name);
      await chmod(path, 0o644);
      await expect(own.read()).rejects.toMatchObject({
        code: 'KEY_UNREADABLE',
        message: expect.stringContaining(path),
      });
      await chmod(path, 0o600);
    }
    await own.read();
  });

  it('a present key that was removed is put there again, readable by its owner alone', async () => {
    await own.rotate();
    const path = join(own.folder.path, 'signing.key');
    await rm(path);
    await own.ensure();
    expect(kidOf(await readPrivateKey(path, 'signing'))).toBe(kidsOf(await own.read()).signing);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('a generation that was lost is made again from its copy; without that, its name is told', async () => {
    const ring = await own.rotate();
    const path = generationPath(own.folder.path, presentOf(ring, 'signing').kid);
    await rm(path);
    await expect(own.read()).rejects.toMatchObject({
      code: 'KEY_UNREADABLE',
      message: expect.stringContaining(path),
    });
    await own.ensure();
    expect(kidsOf(await own.read()).signing).toBe(presentOf(ring, 'signing').kid);
  });

  it('a key under another one’s name is refused', async () => {
    const ring = await own.rotate();
    const path = generationPath(own.folder.path, presentOf(ring, 'encryption').kid);
    await writeFile(path, keyText(rawPrivateKey(generatePrivateKey('encryption'))));
    await expect(own.read()).rejects.toMatchObject({ code: 'KEY_UNREADABLE' });
  });
});

import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { archiveName, claimName, partName, refusedName } from '../../src/transport/exchange-names.js';
import { createFolderTransport, type FolderOptions } from '../../src/transport/folder/transport.js';
import type { Pace } from '../../src/transport/pace.js';
import type { OutgoingEnvelope } from '../../src/transport/transport.js';
import { archiveOf, makeSealedEnvelope } from '../conformance/sealed-envelopes.js';
import { transportConformance } from '../conformance/transport.js';
import { codeOf } from '../unit/jmix/support/sealing.js';

const MIB = 1024 * 1024;

for (const afterTaking of ['delete', 'move'] as const) {
  transportConformance(`folder, then ${afterTaking}`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'folder-'));
    const bridge = (claimer: string) =>
      createFolderTransport({ outbox: folder, inbox: folder, afterTaking, claimer, settleMs: 0 });
    return {
      sender: bridge('aaaaaaaa'),
      receiver: bridge('bbbbbbbb'),
      rival: bridge('cccccccc'),
      files: async () => (await readdir(folder)).filter((name) => name !== 'done'),
      plant: (name, bytes) => writeFile(join(folder, name), bytes),
      close: () => rm(folder, { recursive: true, force: true }),
    };
  });
}

describe('a shared folder', () => {
  let root: string;
  let folder: string;
  const { signal } = new AbortController();
  const bridge = (overrides: Partial<FolderOptions> = {}) =>
    createFolderTransport({
      outbox: folder,
      inbox: folder,
      afterTaking: 'delete',
      claimer: 'aaaaaaaa',
      settleMs: 0,
      ...overrides,
    });
  let scratchFolders = 0;
  const envelope = (bytes: number, choice: { id?: OutgoingEnvelope['id'] } = {}) => {
    scratchFolders += 1;
    return makeSealedEnvelope(join(root, `sealed-${scratchFolders}`), { bytes, ...choice });
  };
  const plant = (name: string, bytes: Buffer) => writeFile(join(folder, name), bytes);
  const lying = (name: string) => readFile(join(folder, name));
  const idsListed = async (inbox = bridge()) => (await inbox.list({ signal })).map(({ id }) => id);
  /** How many bytes a put has written. */
  const put = async (sealed: OutgoingEnvelope, onSent = async () => {}) => {
    let written = 0;
    const onBytes = (count: number) => {
      written += count;
    };
    await bridge().put(sealed, { signal, onBytes, onSent });
    return written;
  };
  const take = async (sealed: OutgoingEnvelope, inbox = bridge()) => {
    const file = join(root, 'taken');
    await inbox.take({ id: sealed.id, sizeBytes: (await archiveOf(sealed)).length }, file, { signal });
    return readFile(file);
  };

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'shared-'));
    folder = join(root, 'stick');
    await mkdir(folder);
  });

  afterEach(() => rm(root, { recursive: true, force: true }));

  it('that is not mounted is unreachable, and never made', async () => {
    const sealed = await envelope(10);
    const path = join(root, 'not', 'mounted');
    const line = bridge({ outbox: path, inbox: path });
    const waiting = { id: sealed.id, sizeBytes: 1 };
    const attempts = [
      line.put(sealed, { signal }),
      line.probe(sealed, signal),
      line.list({ signal }),
      line.take(waiting, join(root, 'file'), { signal }),
      line.acknowledge(sealed.id, 'taken', signal),
    ];
    for (const attempt of attempts) expect(await codeOf(attempt)).toBe('PEER_UNREACHABLE');
    expect((await readdir(root)).filter((name) => !name.startsWith('sealed'))).toEqual(['stick']);
  });

  it('that is a file, or not in the config, is refused', async () => {
    const sealed = await envelope(10);
    await writeFile(join(root, 'file'), '');
    expect(await codeOf(bridge({ inbox: join(root, 'file') }).list({ signal }))).toBe('PEER_REFUSED');
    const nothing = createFolderTransport({ afterTaking: 'delete', claimer: 'aaaaaaaa', settleMs: 0 });
    expect(await codeOf(nothing.put(sealed, { signal }))).toBe('PEER_REFUSED');
    expect(await codeOf(nothing.list({ signal }))).toBe('PEER_REFUSED');
  });

  describe('put', () => {
    it('writes through no link that lies under the name of its part file', async () => {
      const sealed = await envelope(10);
      await writeFile(join(root, 'precious'), 'precious');
      await symlink(join(root, 'precious'), join(folder, partName(sealed.id)));
      expect(await codeOf(put(sealed))).toBe('PEER_REFUSED');
      expect(await readFile(join(root, 'precious'), 'utf8')).toBe('precious');
    });

    it('never replaces another envelope, even one that comes in the last moment', async () => {
      const sealed = await envelope(1_000);
      const other = await archiveOf(await envelope(1_000, { id: sealed.id }));
      expect(await codeOf(put(sealed, () => plant(archiveName(sealed.id), other)))).toBe('ENVELOPE_EXISTS');
      expect((await lying(archiveName(sealed.id))).equals(other)).toBe(true);
    });

    it('fails for certain when its part file has gone before it has its name', async () => {
      const sealed = await envelope(1_000);
      expect(await codeOf(put(sealed, () => rm(join(folder, partName(sealed.id)))))).toBe('PEER_UNREACHABLE');
      expect(await readdir(folder)).toEqual([]);
    });

    it('is done when another process of ours was quicker', async () => {
      const sealed = await envelope(1_000);
      await put(sealed, async () => void (await put(sealed)));
      expect(await readdir(folder)).toEqual([archiveName(sealed.id)]);
      expect((await take(sealed)).equals(await archiveOf(sealed))).toBe(true);
    });

    it('goes on behind what was synced, and writes the rest anew, which a power cut may have lost', async () => {
      const sealed = await envelope(20 * MIB);
      const whole = await archiveOf(sealed);
      const lost = Buffer.concat([whole.subarray(0, 16 * MIB + 1), Buffer.alloc(2 * MIB)]);
      await plant(partName(sealed.id), lost);
      expect(await put(sealed)).toBe(whole.length - 16 * MIB);
      expect((await lying(archiveName(sealed.id))).equals(whole)).toBe(true);
    });

    it('writes the step that its part file ends with anew', async () => {
      const sealed = await envelope(10 * MIB);
      const whole = await archiveOf(sealed);
      await plant(partName(sealed.id), Buffer.concat([whole.subarray(0, 4 * MIB), Buffer.alloc(4 * MIB)]));
      expect(await put(sealed)).toBe(whole.length);
      expect((await lying(archiveName(sealed.id))).equals(whole)).toBe(true);
    });

    it.each([
      ['of another envelope', 9 * MIB, 0],
      ['longer than the archive', 9 * MIB, 4 * MIB],
      ['of nobody', 0, 5],
    ])('begins anew over a part file %s', async (_what, bytes, more) => {
      const sealed = await envelope(9 * MIB);
      const whole = await archiveOf(sealed);
      const other = bytes === 0 ? Buffer.alloc(0) : await archiveOf(await envelope(bytes, { id: sealed.id }));
      await plant(partName(sealed.id), Buffer.concat([other, Buffer.alloc(more)]));
      expect(await put(sealed)).toBe(whole.length);
      expect(await readdir(folder)).toEqual([archiveName(sealed.id)]);
      expect((await lying(archiveName(sealed.id))).equals(whole)).toBe(true);
    });

    it('writes nothing when it is there already: waiting, claimed or done', async () => {
      const sealed = await envelope(1_000);
      const inbox = bridge({ afterTaking: 'move', claimer: 'bbbbbbbb' });
      const written = [await put(sealed), await put(sealed)];
      await take(sealed, inbox);
      written.push(await put(sealed));
      expect(await bridge().probe(sealed, signal)).toBe('same');
      await inbox.acknowledge(sealed.id, 'taken', signal);
      written.push(await put(sealed));
      expect(written.slice(1)).toEqual([0, 0, 0]);
      expect(await bridge().probe(sealed, signal)).toBe('same');
      expect(await bridge().probe(await envelope(1_000, { id: sealed.id }), signal)).toBe('other');
      expect(await readdir(folder, { recursive: true })).toEqual([
        'done',
        join('done', archiveName(sealed.id)),
      ]);
    });

    it('gives the one that was refused another try', async () => {
      const sealed = await envelope(1_000);
      await put(sealed);
      await take(sealed);
      await bridge().acknowledge(sealed.id, 'refused', signal);
      expect(await bridge().probe(sealed, signal)).toBe('absent');
      await put(sealed);
      expect(new Set(await readdir(folder))).toEqual(
        new Set([archiveName(sealed.id), refusedName(sealed.id)]),
      );
    });
  });

  describe('list', () => {
    it('has nothing that is being copied by hand, until two looks far enough apart find it the same', async () => {
      let nowMs = 1_000;
      const inbox = bridge({ settleMs: 5_000, now: () => nowMs });
      const sealed = await envelope(10);
      const path = join(folder, archiveName(sealed.id));
      const whole = await archiveOf(sealed);
      await writeFile(path, whole.subarray(0, 100));
      const longAgo = new Date('2020-01-01T00:00:00Z');
      await utimes(path, longAgo, longAgo);
      expect(await idsListed(inbox)).toEqual([]);
      nowMs += 4_000;
      await appendFile(path, whole.subarray(100));
      expect(await idsListed(inbox)).toEqual([]);
      nowMs += 4_999;
      expect(await idsListed(inbox)).toEqual([]);
      nowMs += 1;
      expect(await idsListed(inbox)).toEqual([sealed.id]);
    });

    it('begins to wait anew for a file whose size was set before it was filled', async () => {
      let nowMs = 0;
      const inbox = bridge({ settleMs: 5_000, now: () => nowMs });
      const sealed = await envelope(10);
      const path = join(folder, archiveName(sealed.id));
      const whole = await archiveOf(sealed);
      await writeFile(path, '');
      await truncate(path, whole.length);
      expect(await idsListed(inbox)).toEqual([]);
      nowMs += 5_000;
      const before = new Date();
      await writeFile(path, whole, { flag: 'r+' });
      await utimes(path, before, before);
      expect(await idsListed(inbox)).toEqual([]);
      nowMs += 5_000;
      expect(await idsListed(inbox)).toEqual([sealed.id]);
    });

    it('has what this bridge has claimed, at once and in front', async () => {
      const [first, second] = [await envelope(10), await envelope(10)];
      await put(first);
      await put(second);
      await take(second);
      expect(await idsListed()).toEqual([second.id, first.id]);
      expect(await idsListed(bridge({ settleMs: 60_000 }))).toEqual([second.id]);
    });

    it('has one id once, and the copy that came while it was claimed afterwards', async () => {
      const sealed = await envelope(10);
      await put(sealed);
      await take(sealed);
      await plant(archiveName(sealed.id), await archiveOf(sealed));
      expect(await idsListed()).toEqual([sealed.id]);
      await bridge().acknowledge(sealed.id, 'taken', signal);
      expect(await idsListed()).toEqual([sealed.id]);
    });

    it('follows no links, and leaves folders alone that have a name of ours', async () => {
      const [linked, inFolder] = [await envelope(10), await envelope(10)];
      await writeFile(join(root, 'elsewhere'), await archiveOf(linked));
      await symlink(join(root, 'elsewhere'), join(folder, archiveName(linked.id)));
      await mkdir(join(folder, archiveName(inFolder.id)));
      expect(await idsListed()).toEqual([]);
      expect(await codeOf(take(linked))).toBe('ENVELOPE_NOT_FOUND');
      expect(await codeOf(take(inFolder))).toBe('ENVELOPE_NOT_FOUND');
    });
  });

  it('a file that is cut short after it was listed is not taken away from whoever writes it', async () => {
    const sealed = await envelope(10_000);
    await put(sealed);
    await truncate(join(folder, archiveName(sealed.id)), 5_000);
    expect(await codeOf(take(sealed))).toBe('ENVELOPE_INCOMPLETE');
    expect(await readdir(folder)).toEqual([archiveName(sealed.id)]);
  });

  it('a file that is written to while it is taken is not called whole, and taken from its start the next time', async () => {
    const sealed = await envelope(MIB);
    const whole = await archiveOf(sealed);
    await plant(archiveName(sealed.id), Buffer.alloc(whole.length));
    const file = join(root, 'taken');
    const claim = join(folder, claimName(sealed.id, 'aaaaaaaa'));
    const writeOn = async () => {
      await writeFile(claim, whole, { flag: 'r+' });
      // Times are noted by ticks of some milliseconds, and all of this may happen within one.
      await utimes(claim, new Date(), new Date(Date.now() + 1_000));
    };
    let late: Promise<void> | undefined;
    const onBytes = () => {
      late ??= writeOn();
    };
    const pace: Pace = {
      bytesPerSecond: 1,
      limiter: () =>
        new Transform({
          transform: (chunk, _encoding, done) => done(null, chunk),
          flush: (done) => void Promise.resolve(late).then(() => done()),
        }),
    };
    const waiting = { id: sealed.id, sizeBytes: whole.length };
    expect(await codeOf(bridge().take(waiting, file, { signal, onBytes, pace }))).toBe('ENVELOPE_INCOMPLETE');
    expect((await take(sealed)).equals(whole)).toBe(true);
  });

  it('what another bridge has claimed is said to be claimed', async () => {
    const sealed = await envelope(10);
    await plant(claimName(sealed.id, 'bbbbbbbb'), await archiveOf(sealed));
    expect(await codeOf(take(sealed))).toBe('ENVELOPE_CLAIMED');
  });
});

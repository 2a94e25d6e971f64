/** A study and its receipt between two sites whose partners have nothing but OpenPGP, over a shared folder. */
import { randomUUID } from 'node:crypto';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import type { Peer } from '../../src/domain/peer.js';
import type { Gnupg } from '../../src/openpgp/home.js';
import { createOpenpgp, type Openpgp } from '../../src/openpgp/openpgp.js';
import { exportPublicKey, makeOwnKey } from '../../src/openpgp/own-key.js';
import { wipeScratch } from '../../src/spool/scratch.js';
import type { PeerBook } from '../../src/trust/peer-book.js';
import { makeSites, type SiteProcess, type TestSite, type TestSites } from '../support/site-parts.js';
import { takeStudyIn } from '../support/site-studies.js';
import { describeWith, tool } from '../support/tools.js';

const { signal } = new AbortController();

describeWith('gnupg', 'sites with OpenPGP', () => {
  let sites: TestSites;
  let siteA: TestSite;
  let siteB: TestSite;
  let keys: { readonly a: OwnKey; readonly b: OwnKey };

  interface OwnKey {
    readonly gnupg: Gnupg;
    readonly fingerprint: string;
    readonly publicKeyFile: string;
  }

  beforeEach(async () => {
    sites = await makeSites(['site-a', 'site-b']);
    siteA = sites.site('site-a');
    siteB = sites.site('site-b');
    keys = { a: await keyOf(siteA), b: await keyOf(siteB) };
  });
  afterEach(() => sites.close());

  async function keyOf({ id, context }: TestSite): Promise<OwnKey> {
    const gnupg = { command: tool('gnupg', 'gpg'), homeDir: join(context.layout.keys, 'gnupg') };
    const fingerprint = await makeOwnKey(gnupg, { name: id, contact: 'it@example.org' });
    const publicKeyFile = join(sites.root, `${id}.asc`);
    await writeFile(publicKeyFile, await exportPublicKey(gnupg, fingerprint));
    return { gnupg, fingerprint, publicKeyFile };
  }

  /** The site as its config would have it with `changes` in the entry of the other one. */
  function processOf(
    site: TestSite,
    own: OwnKey,
    other: TestSite,
    theirs: OwnKey,
    changes: Partial<Peer> = {},
    decrypted: () => Promise<void> = async () => undefined,
  ) {
    const { context } = site;
    const peer = context.peers.get(other.id);
    if (peer === undefined) throw new Error(`${site.id} does not know ${other.id}`);
    const entry: Peer = { ...peer, seal: 'openpgp', openpgpFingerprints: [theirs.fingerprint], ...changes };
    const peers: PeerBook = Object.assign(new Map([...context.peers, [other.id, entry]]), context.peers);
    const [settings] = context.settings.peers.filter(({ id }) => id === other.id);
    if (settings === undefined) throw new Error('no entry');
    const withKey = {
      ...settings,
      openpgpFingerprints: [theirs.fingerprint],
      openpgpKeyFile: theirs.publicKeyFile,
    };
    const gnupg = { command: own.gnupg.command };
    const openpgp = createOpenpgp({ openpgp: gnupg, peers: [withKey] }, context.layout.keys);
    const decrypt: Openpgp['decrypt'] = async (request) => {
      const result = await openpgp.decrypt(request);
      await decrypted();
      return result;
    };
    return site.process({ peers, openpgp: { ...openpgp, decrypt } });
  }

  const processA = (changes?: Partial<Peer>): SiteProcess => processOf(siteA, keys.a, siteB, keys.b, changes);
  const processB = (changes?: Partial<Peer>): SiteProcess => processOf(siteB, keys.b, siteA, keys.a, changes);
  const received = (id: EnvelopeId) => siteB.context.receptions.read(id);

  it('a study goes out as one OpenPGP message, is stored, and its receipt comes back the same way', async () => {
    const a = processA();
    const b = processB();
    const id = await a.send('site-b');
    expect(await readdir(siteB.inboxFolder)).toEqual([`${id}.JMIX.tar.gpg`]);
    await b.poll();
    expect(await received(id)).toMatchObject({
      progress: 'confirmed',
      signedBy: `OpenPGP ${keys.a.fingerprint}`,
    });
    expect((await readdir(siteA.inboxFolder))[0]).toMatch(/\.JMIX\.tar\.gpg$/);
    await a.poll();
    expect(await siteA.context.deliveries.read(id)).toMatchObject({ receipt: 'verified' });
    expect(sites.pacs.stored.size).toBe(2);
    expect(await readdir(siteB.context.layout.scratch)).toEqual([]);
  });

  it('a message for somebody else, or one that was changed, is put aside where it lies, and the bridge goes on', async () => {
    const a = processA();
    const b = processB();
    const id = await a.send('site-b');
    const path = join(siteB.inboxFolder, `${id}.JMIX.tar.gpg`);
    const message = await readFile(path);
    const changed = Buffer.from(message);
    changed.writeUInt8(changed.readUInt8(message.length - 100) ^ 1, message.length - 100);
    await writeFile(path, changed);
    await b.poll();
    expect(await readdir(siteB.inboxFolder)).toEqual([`${id}.JMIX.tar.refused`]);
    expect([await received(id), await readdir(siteB.context.layout.inbox)]).toEqual([undefined, []]);
    await writeFile(path, message);
    await b.poll();
    expect(await received(id)).toMatchObject({ progress: 'confirmed' });
  });

  it('a message under any name is known by its first bytes, and must hold the envelope that its name says', async () => {
    const a = processA();
    const b = processB();
    const id = await a.send('site-b');
    const other = parseEnvelopeId(randomUUID());
    const [there, plain, wrong] = [`${id}.JMIX.tar.gpg`, `${id}.JMIX.tar`, `${other}.JMIX.tar`].map((name) =>
      join(siteB.inboxFolder, name),
    ) as [string, string, string];
    await rename(there, wrong);
    await b.poll();
    expect(await readdir(siteB.inboxFolder)).toEqual([`${other}.JMIX.tar.refused`]);
    await rename(`${wrong}.refused`, plain);
    await b.poll();
    expect(await received(id)).toMatchObject({ progress: 'confirmed' });
  });

  it('a message by a key that is not pinned goes into quarantine, and nothing of it is opened', async () => {
    const id = await processA().send('site-b');
    const b = processB({ openpgpFingerprints: ['A'.repeat(40)] });
    await b.poll();
    const { layout } = siteB.context;
    expect(await received(id)).toMatchObject({ quarantined: { code: 'SIGNER_NOT_PINNED' } });
    expect(await readdir(layout.quarantinedEnvelope(id))).toContain('message.gpg');
    expect([
      await readdir(layout.staging),
      await readdir(layout.opened),
      await readdir(layout.scratch),
    ]).toEqual([[], [], []]);
    expect(sites.pacs.stored.size).toBe(0);
  });

  it.each([
    ['fetch', 1],
    ['open', 2],
  ] as const)(
    'a message comes again at %s when a starting gateway wipes what was decrypted',
    async (stage, nth) => {
      const id = await processA().send('site-b');
      let count = 0;
      const surviving = processOf(siteB, keys.b, siteA, keys.a, {}, async () => {
        count += 1;
        if (count === nth) await wipeScratch(siteB.context.layout, 0, Date.now());
      });
      await surviving.poll();
      expect(surviving.postponed).toMatchObject([{ stage, code: 'SPOOL_WRITE_FAILED' }]);
      for (const job of surviving.postponed) surviving.jobs.push(job);
      await surviving.work();
      expect(await received(id)).toMatchObject({ progress: 'confirmed' });
      expect(await readdir(siteB.context.layout.scratch)).toEqual([]);
    },
  );

  it('what lies in the inbox is the message, and nothing of a patient beside it', async () => {
    const id = await processA().send('site-b');
    const message = await readFile(join(siteB.inboxFolder, `${id}.JMIX.tar.gpg`));
    const { receive } = processB().inbound;
    const upload = { from: { peerId: 'site-a' }, mediaType: 'application/pgp-encrypted', signal } as const;
    expect(await receive({ ...upload, body: Readable.from([message]) })).toEqual({ id, created: true });
    expect(await receive({ ...upload, body: Readable.from([message]) })).toEqual({ id, created: false });
    const names = ['audit.json', 'manifest.json', 'manifest.jws', 'message.gpg'];
    expect((await readdir(siteB.context.layout.inboxEnvelope(id))).sort()).toEqual(names);
    const short = receive({ ...upload, body: Readable.from([message.subarray(0, 5_000)]) });
    await expect(short).rejects.toMatchObject({ code: 'PAYLOAD_DECRYPT_FAILED' });
    expect(await readdir(siteB.context.layout.scratch)).toEqual([]);
  });

  it('a study whose bytes have changed is not sent, and is not taken for a failure of GnuPG', async () => {
    const a = processA();
    const id = await takeStudyIn(a.outbound, 'site-b');
    const delivery = await siteA.context.deliveries.read(id);
    const folder = siteA.context.layout.study(delivery?.studyKey ?? '');
    const [file = ''] = (await readdir(folder)).filter((name) => name.endsWith('.dcm'));
    const bytes = await readFile(join(folder, file));
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    await writeFile(join(folder, file), bytes);
    await a.work();
    expect((await siteA.context.deliveries.read(id))?.parked).toMatchObject({ code: 'SPOOL_CORRUPT' });
    expect([await readdir(siteA.context.layout.sealed), await readdir(siteA.context.layout.scratch)]).toEqual(
      [[], []],
    );
  });
});

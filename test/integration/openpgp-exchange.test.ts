/** A study and its receipt between two sites whose partners have nothing but OpenPGP, over a shared folder. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { Peer } from '../../src/domain/peer.js';
import type { Gnupg } from '../../src/openpgp/home.js';
import { createOpenpgp } from '../../src/openpgp/openpgp.js';
import { exportPublicKey, makeOwnKey } from '../../src/openpgp/own-key.js';
import type { PeerBook } from '../../src/trust/peer-book.js';
import { makeSites, type SiteProcess, type TestSite, type TestSites } from '../support/site-parts.js';
import { describeWith, tool } from '../support/tools.js';

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
    const openpgp = { command: own.gnupg.command };
    return site.process({
      peers,
      openpgp: createOpenpgp({ openpgp, peers: [withKey] }, context.layout.keys),
    });
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
});

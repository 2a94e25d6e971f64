/** A peer's dialect from the config to the folder that is shipped, on the real steps of two sites. */
import { generateKeyPairSync } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { afterEach, expect, it } from 'vitest';
import { DIALECT_NAMES, type DialectName } from '../../../src/domain/peer.js';
import { DIALECT_OF } from '../../../src/jmix/dialect.js';
import { openEnvelopeFolder } from '../../../src/jmix/envelope-folder.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { makeSites, type TestSite, type TestSites } from '../../support/site-parts.js';
import { LIMITS } from './support/sealing.js';
import { memoryStaging } from './support/staging.js';

let sites: TestSites;
let a: TestSite;
let b: TestSite;

afterEach(() => sites.close());

/** Two sites, whose configs say this of each other. */
const makePair = async (dialect?: DialectName) => {
  sites = await makeSites(['site-a', 'site-b'], () => (dialect === undefined ? {} : { dialect }));
  a = sites.site('site-a');
  b = sites.site('site-b');
};
const openedFrom = async (folder: string, recipientKey = b.context.keys.encryption.privateKey) =>
  openEnvelope({
    source: await openEnvelopeFolder(folder),
    recipientKeys: [recipientKey],
    trust: { kind: 'pinned', keys: [a.context.keys.signing.publicKey] },
    nowMs: Date.now(),
    limits: LIMITS,
    stage: memoryStaging().stage,
  });

it.each(DIALECT_NAMES)('a study for a peer of this dialect is sealed as it: %s', async (dialect) => {
  await makePair(dialect);
  const id = await a.send('site-b');
  const folder = a.context.layout.sealedEnvelope(id);
  expect((await readdir(folder)).sort()).toEqual(
    ['audit.json', 'manifest.json', 'manifest.jws', DIALECT_OF[dialect].sealedFileName].sort(),
  );
  expect(await openedFrom(folder)).toMatchObject({ id, dialect, payloadCovered: true });
});

it('a peer whose config names none gets the specification’s own words', async () => {
  await makePair();
  const id = await a.send('site-b');
  expect(await openedFrom(a.context.layout.sealedEnvelope(id))).toMatchObject({ dialect: 'canon' });
});

it('what goes around it for a hub stays canonical, whatever the peer’s dialect', async () => {
  const hub = generateKeyPairSync('x25519');
  const hubTo = () => ({ id: 'hub', encryptionKey: hub.publicKey });
  await makePair('rs');
  const id = await a.process({ hubTo }).send('site-b');
  const outer = (await a.context.deliveries.read(id))?.sealed?.outer?.id;
  if (outer === undefined) throw new Error('it was sealed once only');
  const { layout } = a.context;
  expect(await openedFrom(layout.sealedEnvelope(id))).toMatchObject({ dialect: 'rs' });
  expect(await openedFrom(layout.sealedEnvelope(outer), hub.privateKey)).toMatchObject({ dialect: 'canon' });
});

/** Envelopes that are sealed while a study is quiet: taken for exactly what they hold, else as if they had never been. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnvelopeId } from '../../src/domain/envelope-id.js';
import type { Peer } from '../../src/domain/peer.js';
import { openEnvelopeFolder } from '../../src/jmix/envelope-folder.js';
import { type CompletionParts, completeStudy } from '../../src/outbound/complete-study.js';
import { recoverFreezes } from '../../src/outbound/recover.js';
import { createSealedAhead, type SealedAhead } from '../../src/outbound/seal-ahead.js';
import { wipeScratch } from '../../src/spool/scratch.js';
import { readSealedFolder } from '../../src/spool/sealed-folder.js';
import { openStudyStore, type StudyStore } from '../../src/spool/study-store.js';
import { peerOf } from '../support/site-letters.js';
import { makeSites, type TestSite, type TestSites } from '../support/site-parts.js';
import { gatherStudy, routeTo } from '../support/site-studies.js';
import { until } from '../support/until.js';

/** Long after the last instance. */
const LATER_MS = 60_000;
/** Of the quiet time. */
const LEFT_MS = 30_000;

let sites: TestSites;
let a: TestSite;
let ahead: SealedAhead;
let parts: CompletionParts;

beforeEach(async () => {
  sites = await makeSites(['site-a', 'site-b', 'site-c']);
  a = sites.site('site-a');
  start(a.outbound);
});
afterEach(async () => {
  await ahead.close();
  await sites.close();
});

/** The parts of a gateway that seals ahead. */
const start = (outbound: CompletionParts, ...to: string[]) => {
  const routes = [routeTo(...(to.length === 0 ? ['site-b'] : to))];
  ahead = createSealedAhead({ ...outbound, routes });
  parts = { ...outbound, routes, sealedAhead: ahead };
};
const studyOf = async (key: string) => {
  const study = await parts.studies.find(key);
  if (study === undefined) throw new Error('there is no such study');
  return study;
};
const gather = async (more?: Parameters<typeof gatherStudy>[1]) => {
  const key = await gatherStudy(parts, more);
  a.time.ms += LATER_MS;
  return key;
};
const begin = async (key: string, quiet = 0.5) => {
  ahead.begin(await studyOf(key), quiet, LEFT_MS);
  // It looks for new keys first, as whoever completes the study does.
  await parts.refresh();
};
const complete = async (key: string) => {
  const [id] = await completeStudy(parts, await studyOf(key), 'quiet');
  return id as EnvelopeId;
};
const recordOf = (id: EnvelopeId) => a.context.deliveries.read(id);
const scratch = () => readdir(a.context.layout.scratch);
const sealedFolders = () => readdir(a.context.layout.sealed);
const storedAt = async (id: string) => {
  const { receptions } = sites.site(id).context;
  return Promise.all(
    (await receptions.ids()).map(async (each) => (await receptions.read(each))?.instanceCount),
  );
};

it('what was sealed while the study was quiet is what travels, without being packed or sealed again', async () => {
  const key = await gather();
  await begin(key);
  const id = await complete(key);
  expect(await recordOf(id)).toMatchObject({ carriage: 'sealed', instanceCount: 2, revision: 1 });
  expect(a.jobs).toEqual([{ stage: 'ship', id }]);
  expect(await sealedFolders()).toEqual([`${id}.JMIX`]);
  expect(await scratch()).toEqual([]);
  await a.work();
  await sites.site('site-b').poll();
  await a.poll();
  expect(await recordOf(id)).toMatchObject({ receipt: 'verified', custody: 'whole' });
});

it('nothing of it has a name, a record or a job before the study is complete', async () => {
  const key = await gather();
  await begin(key);
  await ahead.close();
  expect(await sealedFolders()).toEqual([]);
  expect(await a.context.deliveries.ids()).toEqual([]);
  expect(a.jobs).toEqual([]);
  expect(await scratch()).toEqual([]);
});

it('an instance that comes while it is sealed, or after, throws it away', async () => {
  const key = await gather();
  await begin(key);
  await gather({ slices: 3, skip: 2 });
  await begin(key);
  await gather({ slices: 4, skip: 3 });
  const id = await complete(key);
  expect(await recordOf(id)).toMatchObject({ carriage: 'accepted', instanceCount: 4 });
  await a.work();
  await sites.site('site-b').poll();
  expect(await storedAt('site-b')).toEqual([4]);
  await ahead.close();
  expect(await scratch()).toEqual([]);
});

it('an instance of which nobody told throws it away when the study is frozen', async () => {
  const key = await gather();
  await begin(key);
  await gatherStudy(a.outbound, { slices: 3, skip: 2 });
  const id = await complete(key);
  expect(await recordOf(id)).toMatchObject({ carriage: 'accepted', instanceCount: 3 });
});

it('what was said of the study since throws it away', async () => {
  const key = await gather();
  await begin(key);
  await parts.studies.describe(key, { customTags: ['urgent'] });
  expect(await recordOf(await complete(key))).toMatchObject({ carriage: 'accepted' });
});

it('a key that the receiver has changed since throws it away', async () => {
  const key = await gather();
  await begin(key);
  const { peers } = a.context;
  const changed: Peer = { ...peerOf(a, 'site-b'), encryptionKey: peerOf(a, 'site-c').encryptionKey as never };
  const get = (peerId: string) => (peerId === 'site-b' ? changed : peers.get(peerId));
  parts = {
    ...parts,
    peers: new Proxy(peers, { get: (_, name) => (name === 'get' ? get : Reflect.get(peers, name)) }),
  };
  expect(await recordOf(await complete(key))).toMatchObject({ carriage: 'accepted' });
});

describe('instances that have no files yet', () => {
  let studies: StudyStore;
  let isAskedFor = false;

  beforeEach(async () => {
    studies = await openStudyStore(a.context.layout, { logMegabytes: 64 });
  });
  afterEach(() => studies.close());

  /** Nothing gets a file before somebody has waited for all of them. */
  const gatherUnfiled = async () => {
    const { ready } = a.context.layout;
    await rm(ready, { recursive: true });
    isAskedFor = false;
    const settled = async () => {
      await mkdir(ready, { recursive: true });
      isAskedFor = true;
      await studies.settled();
    };
    start({ ...a.outbound, studies: { ...studies, settled } });
    const key = await gather();
    const unfiled = studies.unfiled(key);
    unfiled.letGo();
    expect(unfiled.files.size).toBe(2);
    return key;
  };

  it('are sealed from where the reception log has them, and travel', async () => {
    const key = await gatherUnfiled();
    await begin(key);
    await until(() => isAskedFor, { what: 'it is sealed, and waits for the files' });
    const id = await complete(key);
    expect(await recordOf(id)).toMatchObject({ carriage: 'sealed', instanceCount: 2, revision: 1 });
    expect(await sealedFolders()).toEqual([`${id}.JMIX`]);
    await a.work();
    await sites.site('site-b').poll();
    expect(await storedAt('site-b')).toEqual([2]);
  });

  it('do not travel when the log has other bytes by then', async () => {
    const key = await gatherUnfiled();
    const segment = join(a.context.layout.receptionLog, '0.log');
    const bytes = await readFile(segment);
    const at = bytes.indexOf(Buffer.from('ISO_IR')) + 300;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    await writeFile(segment, bytes);
    await begin(key);
    await until(async () => isAskedFor && (await scratch()).length === 0, { what: 'it is thrown away' });
    const id = await complete(key);
    expect(await recordOf(id)).toMatchObject({ carriage: 'accepted' });
    expect(await sealedFolders()).toEqual([]);
  });
});

it('a power failure between freeze and name seals it anew, under the same id, and sends it once', async () => {
  const key = await gather();
  await begin(key);
  const taken: SealedAhead = {
    ...ahead,
    take: (...basis) => {
      const found = ahead.take(...basis);
      const place = () => {
        found?.discard();
        return Promise.reject(new Error('killed'));
      };
      return found && { ...found, place };
    },
  };
  parts = { ...parts, sealedAhead: taken };
  await expect(complete(key)).rejects.toThrow('killed');
  const [freeze] = (await studyOf(key)).freezes;
  await ahead.close();
  await wipeScratch(a.context.layout, 0, a.time.ms);
  await recoverFreezes(parts);
  const id = freeze?.deliveries[0]?.id as EnvelopeId;
  expect(await recordOf(id)).toMatchObject({ carriage: 'accepted' });
  await a.work();
  await sites.site('site-b').poll();
  expect(await storedAt('site-b')).toEqual([2]);
});

it('a power failure between name and record takes what lies there', async () => {
  const key = await gather();
  await begin(key);
  const { deliveries } = parts;
  parts = { ...parts, deliveries: { ...deliveries, create: () => Promise.reject(new Error('killed')) } };
  await expect(complete(key)).rejects.toThrow('killed');
  const id = (await studyOf(key)).freezes[0]?.deliveries[0]?.id as EnvelopeId;
  const before = await readSealedFolder(a.context.layout, id);
  await recoverFreezes({ ...parts, deliveries });
  expect((await recordOf(id))?.sealed?.manifestSha256).toBe(before?.manifestSha256);
  expect(a.jobs).toEqual([{ stage: 'ship', id }]);
});

it('a freeze that fails throws it away', async () => {
  const key = await gather();
  await begin(key);
  const studies = { ...parts.studies, freeze: () => Promise.reject(new Error('disk full')) };
  await expect(completeStudy({ ...parts, studies }, await studyOf(key), 'quiet')).rejects.toThrow(
    'disk full',
  );
  await ahead.close();
  expect(await scratch()).toEqual([]);
});

it('of two studies one is sealed at a time, and the other waits its turn', async () => {
  const [one, two] = [await gather(), await gather({ seed: 2 })];
  await begin(one);
  await begin(two);
  const second = await complete(two);
  expect(await recordOf(second)).toMatchObject({ carriage: 'accepted' });
  expect(await recordOf(await complete(one))).toMatchObject({ carriage: 'sealed' });
});

it('instances of any study go first: what is being sealed is given up, and nothing is begun while they arrive', async () => {
  const [one, two] = [await gather(), await gather({ seed: 2 })];
  const [first, second] = [await studyOf(one), await studyOf(two)];
  ahead.begin(first, 0.5, LEFT_MS);
  ahead.arrived('another study');
  ahead.begin(second, 0.5, LEFT_MS);
  expect(await recordOf(await complete(one))).toMatchObject({ carriage: 'accepted' });
  expect(await recordOf(await complete(two))).toMatchObject({ carriage: 'accepted' });
});

it('a study that comes by and by must be quiet for longer before it is tried again', async () => {
  const key = await gather();
  await begin(key, 0.01);
  await gather({ slices: 3, skip: 2 });
  await begin(key, 0.2);
  await until(async () => (await scratch()).length === 0);
  await begin(key, 0.5);
  expect(await recordOf(await complete(key))).toMatchObject({ carriage: 'sealed', instanceCount: 3 });
});

it('a file that is damaged is told of by the step that packs it', async () => {
  const key = await gather();
  const [instance] = (await studyOf(key)).instances.values();
  if (instance !== undefined) await rm(a.context.layout.instance(key, instance.sopInstanceUid));
  await begin(key);
  const id = await complete(key);
  expect(await recordOf(id)).toMatchObject({ carriage: 'accepted' });
  await a.work();
  expect(await recordOf(id)).toMatchObject({ parked: { code: 'SPOOL_CORRUPT' } });
});

it('peers that share an envelope share the one that was sealed ahead', async () => {
  start(a.outbound, 'site-b', 'site-c');
  const key = await gather();
  await begin(key);
  const ids = await completeStudy(parts, await studyOf(key), 'quiet');
  const [folder, ...others] = await sealedFolders();
  expect(others).toEqual([]);
  const source = await openEnvelopeFolder(`${a.context.layout.sealed}/${folder}`);
  expect(JSON.parse(source.manifest.toString()).receiver).toHaveLength(2);
  expect(a.jobs).toEqual(ids.map((id) => ({ stage: 'ship', id })));
  await a.work();
  for (const id of ['site-b', 'site-c']) await sites.site(id).poll();
  await a.poll();
  for (const id of ids) expect(await recordOf(id)).toMatchObject({ receipt: 'verified' });
});

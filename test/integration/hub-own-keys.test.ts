/** A hub whose keys are rotated while it runs: it publishes the new ones, and opens what is still sealed to the old one. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JSONWebKeySet } from 'jose';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { KEY_DISK } from '../../src/compose/key-disk.js';
import { jwkThumbprint } from '../../src/jmix/jwk-thumbprint.js';
import { rotateKeys } from '../../src/trust/key-change.js';
import { changeKeys, KEY_PURPOSES } from '../../src/trust/key-store.js';
import { ask } from '../support/http-client.js';
import { until } from '../support/until.js';
import { HUB_ID, type HubUnderTest, makeHub, nestLetter, sealLetter } from './hub-under-test.js';

let hub: HubUnderTest;
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'drawbridge-letters-'));
  hub = await makeHub();
});
afterEach(async () => {
  await hub.close();
  await rm(root, { recursive: true, force: true });
});

async function publishedKids(): Promise<unknown[]> {
  const answer = await ask({ port: hub.port(), tls: true, method: 'GET', path: '/.well-known/jwks.json' });
  return (JSON.parse(answer.body.toString()) as JSONWebKeySet).keys.map(({ kid }) => kid);
}

it('a rotation is published at once, and envelopes sealed to the old key still pass', async () => {
  const { signal } = new AbortController();
  const before = [hub.keys.encryption, hub.keys.signing].map(({ publicKey }) => jwkThumbprint(publicKey));
  expect(await publishedKids()).toEqual(before);
  const folder = { path: hub.layout.keys, passphrase: async () => undefined };
  const context = { siteId: HUB_ID, nowMs: hub.time.ms, overlapMs: 86_400_000 };
  await changeKeys(folder, KEY_DISK, hub.time.ms, (loaded) => rotateKeys(loaded, KEY_PURPOSES, context));

  // `hub.keys` is what a partner knows, who has not heard of it.
  const inner = await sealLetter(root, { from: 'site-a', to: ['site-b'] });
  const outer = await nestLetter(root, hub, 'site-a', inner);
  await hub.transport('site-a').put(outer, { signal });
  await until(() => hub.parcel(outer.id)?.state === 'done');
  expect(hub.parcel(inner.id)).toMatchObject({ state: 'waiting', senderId: 'site-a' });

  const after = await publishedKids();
  expect(after).toHaveLength(2);
  for (const kid of before) expect(after).not.toContain(kid);
});

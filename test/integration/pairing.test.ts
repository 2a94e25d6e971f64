/** Two sites, their operators, and somebody who stands between them, over real TLS. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import express from 'express';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pairingRoutes } from '../../src/http/jmix/post-pairing.js';
import type { PairingView } from '../../src/http/pairing-ports.js';
import { problemHandler } from '../../src/http/problem.js';
import { listenPlain } from '../../src/http/server.js';
import { rawPublicKey } from '../../src/jmix/raw-keys.js';
import { silentLog } from '../../src/observe/log.js';
import { openPairingLine } from '../../src/transport/https/pairing.js';
import {
  makeAnswer,
  makeRequest,
  pairingHash,
  readAnswer,
  readRequest,
  readStanding,
  signStanding,
} from '../../src/trust/pairing-message.js';
import type { PeerCard } from '../../src/trust/peer-card.js';
import { ask } from '../support/http-client.js';
import { makePairingSite, type PairingSite, type StandIn, startStandIn } from '../support/pairing-site.js';
import { until } from '../support/until.js';

const MINUTE_MS = 60_000;
const { signal } = new AbortController();
const failed = expect.objectContaining({ code: 'PAIRING_FAILED' });

type Comparing = Extract<PairingView, { state: 'comparing' }>;

let a: PairingSite;
let b: PairingSite;
let mallory: PairingSite;
beforeAll(async () => {
  mallory = await makePairingSite('site-m');
});
beforeEach(async () => {
  [a, b] = await Promise.all([makePairingSite('site-a'), makePairingSite('site-b')]);
});
afterEach(() => Promise.all([a.remove(), b.remove()]));
afterAll(() => mallory.remove());

async function comparing(site: PairingSite): Promise<Comparing> {
  await until(() => site.desk.view().state !== 'waiting', { what: `${site.id} has words` });
  const view = site.desk.view();
  if (view.state !== 'comparing') throw new Error(`${site.id} is ${JSON.stringify(view)}`);
  return view;
}

const begin = async (url = b.url) => {
  b.desk.open('127.0.0.1');
  await a.desk.call(url, '127.0.0.1');
  return Promise.all([comparing(a), comparing(b)]);
};
const agree = async (site: PairingSite) => {
  const { id, words } = await comparing(site);
  return site.desk.agree(id, words);
};
const becomes = (site: PairingSite, state: PairingView['state']) =>
  until(() => site.desk.view().state === state, { what: `${site.id} is ${state}` });
const failureOf = (site: PairingSite) => {
  const view = site.desk.view();
  return view.state === 'failed' ? view.message : view.state;
};
async function expectNothingPinned(...sites: readonly PairingSite[]): Promise<void> {
  for (const { context } of sites) {
    await context.refresh();
    expect([...context.peers.keys()]).toEqual([]);
    expect(await readdir(join(context.layout.trust, 'peers')).catch(() => [])).toEqual([]);
  }
}

/** As a site does that keeps to our rules only as far as it likes. */
const requestOf = (site: PairingSite, changes: Partial<PeerCard> = {}) =>
  makeRequest({ ...site.card, ...changes }, site.context.keys.signing.privateKey, site.time.ms);
const post = async (url: string, to: 'request' | 'standing', message: Buffer, from: PairingSite) => {
  const line = await openPairingLine(new URL(url), from.identity, signal);
  return line.send(to, message, signal).finally(() => line.close());
};

/** Stands between the two, puts his own keys and certificate on both cards, and signs everything anew. */
async function swapKeys(): Promise<StandIn> {
  const key = mallory.context.keys.signing.privateKey;
  const { encryptionKey, signingKeys, certificateFingerprints } = mallory.card;
  const own = { encryptionKey, signingKeys, certificateFingerprints };
  let toA = '';
  let toB = '';
  return startStandIn(mallory.identity, async (to, message) => {
    if (to === 'standing') {
      const standing = signStanding(toB, readStanding(message, toA, a.card), key);
      return signStanding(toA, readStanding(await post(b.url, to, standing, mallory), toB, b.card), key);
    }
    const theirs = readRequest(message, a.time.ms);
    const mine = makeRequest({ ...theirs.card, ...own }, key, a.time.ms);
    const answer = readAnswer(await post(b.url, to, mine.jws, mallory), mine, a.time.ms);
    const forged = makeAnswer(theirs, { ...answer.card, ...own }, key, a.time.ms);
    toA = pairingHash(theirs, forged);
    toB = pairingHash(mine, answer);
    return forged.jws;
  });
}

describe('who is not wanted', () => {
  it('while no window is open, a stranger finds nothing, as at any other address', async () => {
    const headers = { 'content-type': 'application/jose' };
    const send = (path: string) =>
      ask({ port: Number(new URL(b.url).port), tls: true, method: 'POST', path, headers, body: ['x'] });
    const nothing = await send('/nothing');
    expect(nothing.status).toBe(404);
    for (const path of ['/api/pairing/request', '/api/pairing/standing', '/api/pairing']) {
      const { status, body } = await send(path);
      expect({ status, body: String(body) }).toEqual({ status: 404, body: String(nothing.body) });
    }
    await expect(a.desk.call(b.url, '127.0.0.1')).rejects.toThrow(failed);
  });

  it('in an open window too large a body, another type, and what is no message are refused, and end nothing', async () => {
    b.desk.open('127.0.0.1');
    const send = (type: string, body: string) =>
      ask({
        port: Number(new URL(b.url).port),
        tls: true,
        identity: { ...mallory.identity, fingerprint: '' },
        method: 'POST',
        path: '/api/pairing/request',
        headers: { 'content-type': type },
        body: [body],
      });
    expect((await send('application/jose', 'x'.repeat(9000))).status).toBe(413);
    expect((await send('application/json', '{}')).status).toBe(415);
    expect((await send('application/jose', 'x.y.z')).status).toBe(409);
    expect(b.desk.view().state).toBe('waiting');
  });

  it('more than twenty messages in a second are put off', async () => {
    const door = {
      isOpen: () => true,
      request: async () => Buffer.from('answer'),
      standing: async () => Buffer.from('reply'),
    };
    const time = { ms: 1_000 };
    const app = express()
      .use(pairingRoutes(door, () => time.ms))
      .use(problemHandler(silentLog));
    const listener = await listenPlain({ host: '127.0.0.1', port: 0, app });
    const send = async () => {
      const headers = { 'content-type': 'application/jose' };
      const request = { port: listener.port, method: 'POST', path: '/standing', headers, body: ['x'] };
      return (await ask(request)).status;
    };
    try {
      const statuses = [];
      for (let sent = 0; sent < 21; sent += 1) statuses.push(await send());
      expect(new Set(statuses.slice(0, 20))).toEqual(new Set([200]));
      expect(statuses.at(20)).toBe(503);
      time.ms += 1_000;
      expect(await send()).toBe(200);
    } finally {
      await listener.close(0);
    }
  });

  it('somebody who puts his keys on both cards is betrayed by the words, and a no leaves nothing behind', async () => {
    const between = await swapKeys();
    try {
      const [atA, atB] = await begin(between.url);
      expect([atA.peer.id, atB.peer.id]).toEqual(['site-b', 'site-a']);
      expect(atA.words).not.toBe(atB.words);
      // Whoever types what the other screen shows ends it on both sides.
      await expect(a.desk.agree(atA.id, atB.words)).rejects.toThrow(failed);
      await becomes(b, 'failed');
      await expectNothingPinned(a, b);
    } finally {
      await between.close();
    }
  });

  it('somebody who hands everything on, but over connections of his own, is refused by the side that is called', async () => {
    const between = await startStandIn(mallory.identity, (to, message) => post(b.url, to, message, mallory));
    try {
      b.desk.open('127.0.0.1');
      await expect(a.desk.call(between.url, '127.0.0.1')).rejects.toThrow(failed);
      expect(b.desk.view().state).toBe('waiting');
    } finally {
      await between.close();
    }
  });

  it('a true answer that comes over the connection of somebody else is refused by the side that calls', async () => {
    const { card, context, time } = b;
    const between = await startStandIn(mallory.identity, async (_to, message) => {
      return makeAnswer(readRequest(message, time.ms), card, context.keys.signing.privateKey, time.ms).jws;
    });
    try {
      await expect(a.desk.call(between.url, '127.0.0.1')).rejects.toThrow(/somebody stands between/);
      await expectNothingPinned(a);
    } finally {
      await between.close();
    }
  });

  it('an answer to an earlier request is refused', async () => {
    const { card, context, time } = b;
    const identity = context.keys.tls;
    const old = makeAnswer(requestOf(a), card, context.keys.signing.privateKey, time.ms);
    const standIn = await startStandIn(identity, async () => old.jws);
    try {
      await expect(a.desk.call(standIn.url, '127.0.0.1')).rejects.toThrow(failed);
    } finally {
      await standIn.close();
    }
  });

  it('a second site in the same window ends the pairing for the first as well', async () => {
    await begin();
    await agree(a);
    await expect(post(b.url, 'request', requestOf(mallory).jws, mallory)).rejects.toThrow(failed);
    expect(failureOf(b)).toMatch(/a second site/);
    await becomes(a, 'failed');
    await expect(
      b.desk.agree('id' in b.desk.view() ? (b.desk.view() as Comparing).id : '', 'x'),
    ).rejects.toThrow(failed);
    await expectNothingPinned(a, b);
  });

  it('the same request again, whose answer was lost, gets the same answer', async () => {
    b.desk.open('127.0.0.1');
    const { jws } = requestOf(mallory);
    const answers = [await post(b.url, 'request', jws, mallory), await post(b.url, 'request', jws, mallory)];
    expect(answers[0]).toEqual(answers[1]);
    expect((await comparing(b)).peer.id).toBe('site-m');
  });

  it('a site with our own id is refused, and hears no reason', async () => {
    b.desk.open('127.0.0.1');
    const refusal = post(b.url, 'request', requestOf(mallory, { id: 'site-b' }).jws, mallory);
    await expect(refusal).rejects.toThrow(/its screen says why/);
    expect(failureOf(b)).toMatch(/this site itself/);
  });
});

describe('what leaves nothing behind', () => {
  it('a site for which the config pins another key; the other side hears that it is over', async () => {
    const { signingKeys } = mallory.card;
    const careful = await makePairingSite('site-c', { peers: [{ id: 'site-b', name: 'B', signingKeys }] });
    try {
      b.desk.open('127.0.0.1');
      await expect(careful.desk.call(b.url, '127.0.0.1')).rejects.toThrow(
        /the config pins other signingKeys/,
      );
      await becomes(b, 'failed');
      await expectNothingPinned(b);
    } finally {
      await careful.remove();
    }
  });

  it('a no of one side, after the yes of the other', async () => {
    const [, atB] = await begin();
    await agree(a);
    b.desk.refuse(atB.id);
    await becomes(a, 'failed');
    expect(failureOf(a)).toMatch(/the other side has ended/);
    await expectNothingPinned(a, b);
  });

  it('nobody comes within ten minutes', async () => {
    b.desk.open('127.0.0.1');
    b.time.ms += 10 * MINUTE_MS - 1;
    expect(b.desk.view().state).toBe('waiting');
    b.time.ms += 1;
    expect(failureOf(b)).toMatch(/nobody has come/);
    await expect(a.desk.call(b.url, '127.0.0.1')).rejects.toThrow(failed);
  });

  it('only one side has said yes when the time is over', async () => {
    await begin();
    await agree(b);
    a.time.ms += 10 * MINUTE_MS;
    b.time.ms += 10 * MINUTE_MS;
    expect(failureOf(a)).toMatch(/nobody here has confirmed/);
    expect(failureOf(b)).toMatch(/the other side has not confirmed/);
    await expectNothingPinned(a, b);
  });

  it('a yes that names no words, or comes before there are any', async () => {
    const view = b.desk.open('127.0.0.1');
    const id = view.state === 'waiting' ? view.id : '';
    await expect(b.desk.agree(id, 'yes')).rejects.toThrow(expect.objectContaining({ code: 'STATE_INVALID' }));
    await expect(b.desk.agree('another', 'yes')).rejects.toThrow(
      expect.objectContaining({ code: 'STATE_INVALID' }),
    );
    await a.desk.call(b.url, '127.0.0.1');
    await comparing(b);
    await expect(b.desk.agree(id, 'yes')).rejects.toThrow(failed);
    await becomes(a, 'failed');
    await expectNothingPinned(a, b);
  });
});

describe('two operators who agree', () => {
  it('have the same words, and each other’s keys when both have said yes, not before', async () => {
    const [atA, atB] = await begin();
    expect(atA.words).toBe(atB.words);
    expect(atA.words.split(' ')).toHaveLength(6);
    expect(atB.peer).toEqual({
      id: 'site-a',
      name: 'Hospital site-a',
      contact: 'pacs@site-a.example',
      url: a.url,
    });
    await agree(b);
    await until(() => a.desk.view().state === 'comparing' && (a.desk.view() as Comparing).peerAgreed, {
      what: 'a hears of the yes of b',
    });
    await expectNothingPinned(a, b);
    await agree(a);
    await Promise.all([a, b].map((site) => becomes(site, 'paired')));
    await until(() => a.tested.length + b.tested.length === 2, { what: 'both send a test envelope' });
    for (const [site, other] of [
      [a, b],
      [b, a],
    ] as const) {
      expect(site.desk.view()).toMatchObject({ state: 'paired', confirmed: true, words: atA.words });
      const peer = site.context.peers.get(other.id);
      expect(peer).toMatchObject({
        url: other.url,
        certificateFingerprints: other.card.certificateFingerprints,
      });
      expect(peer?.signingKeys.map((key) => rawPublicKey(key).toString('base64'))).toEqual(
        other.card.signingKeys,
      );
      expect(site.tested).toEqual([other.id]);
    }
    // The window is closed to everybody else.
    await expect(post(b.url, 'request', requestOf(mallory).jws, mallory)).rejects.toThrow(failed);
    expect(b.desk.view().state).toBe('paired');
  });

  it('but whose last message is lost: who has pinned says that the other has not, and tests at the end', async () => {
    let isCut = false;
    const between = await startStandIn(b.identity, async (to, message) => {
      const answer = await post(b.url, to, message, a);
      if (isCut) throw new Error('the line is cut');
      return answer;
    });
    try {
      await begin(between.url);
      isCut = true;
      await Promise.all([agree(a), agree(b)]);
      await becomes(b, 'paired');
      expect(b.desk.view()).toMatchObject({ confirmed: false, ended: false });
      expect(b.tested).toEqual([]);
      a.time.ms += 10 * MINUTE_MS;
      b.time.ms += 10 * MINUTE_MS;
      expect(b.desk.view()).toMatchObject({ state: 'paired', confirmed: false, ended: true });
      expect(b.tested).toEqual(['site-a']);
      await becomes(a, 'failed');
      await expectNothingPinned(a);
    } finally {
      await between.close();
    }
  });
});

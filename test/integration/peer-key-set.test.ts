/** Keys that a peer publishes, over real TLS: what a liar there can reach, and what an honest peer can. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseSettings } from '../../src/config/load.js';
import type { Settings } from '../../src/config/settings.js';
import { keyFingerprint } from '../../src/jmix/raw-keys.js';
import { silentLog } from '../../src/observe/log.js';
import { createFileDurably } from '../../src/spool/atomic.js';
import { fetchKeySet } from '../../src/transport/https/key-set.js';
import { formatJwk } from '../../src/trust/jwk.js';
import { openPeerBook, type PeerBook } from '../../src/trust/peer-book.js';
import { createKeyNews, type KeyNews } from '../../src/trust/peer-news.js';
import { makeCertificate, type TestCertificate } from '../support/certificates.js';
import { until } from '../support/until.js';
import {
  encryptionKey,
  NOW,
  signingKey,
  statement,
  type TestKey,
} from '../unit/trust/support/peer-statements.js';

const MINUTE_MS = 60_000;
const [k1, k2, other] = [signingKey(), signingKey(), signingKey()];
const [e1, e2] = [encryptionKey(), encryptionKey()];

let own: TestCertificate;
let foreign: TestCertificate;
let server: Server;
let answer: RequestListener;
let asked: string[];
let folder: string;
const time = { ms: NOW };

beforeAll(async () => {
  [own, foreign] = await Promise.all([makeCertificate('localhost'), makeCertificate('localhost')]);
  server = createServer({ cert: own.certificate, key: own.privateKey }, (request, response) => {
    asked.push(request.url ?? '');
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-key-set-'));
  asked = [];
  time.ms = NOW;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function url(path = ''): string {
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
}

function configured(more: Readonly<Record<string, unknown>> = {}): Settings {
  const config = {
    site: { id: 'site-a', name: 'Hospital A', contact: 'pacs@a.example' },
    peers: [
      {
        id: 'site-b',
        name: 'Hospital B',
        url: url(),
        encryptionKey: e1.text,
        signingKeys: [k1.text],
        certificateFingerprints: [own.fingerprint],
        ...more,
      },
      { id: 'site-c', name: 'Hospital C', signingKeys: [other.text] },
    ],
  };
  return parseSettings(JSON.stringify(config), {}, folder);
}

interface Process {
  readonly book: PeerBook;
  readonly news: KeyNews;
}

/** One process of the site. */
async function process(settings = configured(), timeoutMs = 20_000): Promise<Process> {
  const clock = { now: () => time.ms };
  const book = await openPeerBook(settings, folder, { createFile: createFileDurably, clock, log: silentLog });
  const news = createKeyNews(
    book,
    ({ peer }, from, signal) => fetchKeySet({ url: from, trust: peer, identity: own, signal, timeoutMs }),
    { log: silentLog, now: clock.now },
  );
  return { book, news };
}

function known({ book }: Process) {
  const found = book.known().find(({ peer }) => peer.id === 'site-b');
  if (found === undefined) throw new Error('site-b is gone');
  return found;
}

const signers = (each: Process) => known(each).keys.signing.map(({ kid }) => kid);

function publish(keys: readonly TestKey[], announcements: readonly string[] = []): void {
  const jwks = keys.map(({ publicKey }) =>
    formatJwk(publicKey, publicKey.asymmetricKeyType === 'ed25519' ? 'signing' : 'encryption'),
  );
  answer = (_, response) => {
    response.setHeader('content-type', 'application/jwk-set+json');
    response.end(JSON.stringify({ keys: jwks, drawbridge_announcements: announcements }));
  };
}

describe('changes nothing, and says why', () => {
  it.each<[string, RequestListener, string]>([
    ['an answer without an end', (_, response) => endless(response), 'PEER_REFUSED'],
    ['a redirect', (_, response) => response.writeHead(302, { location: '/keys' }).end(), 'PEER_REFUSED'],
    ['an error', (_, response) => response.writeHead(500).end(), 'PEER_BUSY'],
    ['what is no key set', (_, response) => response.end('<html>'), 'DIRECTORY_INVALID'],
    [
      'a key set with a member twice',
      (_, response) => response.end('{"keys":[],"keys":[]}'),
      'DIRECTORY_INVALID',
    ],
    ['a connection that is cut', (request) => request.socket.destroy(), 'PEER_UNREACHABLE'],
  ])('%s', async (_, lie, code) => {
    answer = lie;
    const site = await process();
    expect(await site.news.ask('site-b')).toBe('nothing');
    expect(asked).toEqual(['/.well-known/jwks.json']);
    expect(signers(site)).toEqual([k1.kid]);
    await site.book.refresh();
    expect(known(site).record.published?.error).toContain(code);
  });

  it('an answer that takes too long', async () => {
    answer = (_, response) => void response.write('{');
    const site = await process(configured(), 300);
    expect(await site.news.ask('site-b')).toBe('nothing');
    await site.book.refresh();
    expect(known(site).record.published?.error).toContain('PEER_UNREACHABLE');
  });

  it('a server with another certificate, which hears not a byte', async () => {
    publish([k2]);
    const site = await process(configured({ certificateFingerprints: [foreign.fingerprint], jwks: 'tls' }));
    expect(await site.news.ask('site-b')).toBe('nothing');
    expect(asked).toEqual([]);
    expect(signers(site)).toEqual([k1.kid]);
  });

  it('a server that only the authorities of the operating system could vouch for', async () => {
    const trust = { certificateFingerprints: [] };
    const asking = fetchKeySet({ url: url('/keys'), trust, identity: own });
    await expect(asking).rejects.toMatchObject({ code: 'PEER_UNTRUSTED' });
    expect(asked).toEqual([]);
  });

  it('statements of another site, and those that a stranger signed', async () => {
    publish(
      [k1],
      [
        statement(k1, { signing: [k2], site: 'site-c' }),
        statement(other, { signing: [k2] }),
        'not.a.statement',
      ],
    );
    const site = await process();
    expect(await site.news.ask('site-b')).toBe('nothing');
    expect(signers(site)).toEqual([k1.kid]);
  });
});

it('the key of another peer is neither learned nor offered, even where TLS is believed', async () => {
  publish([k1, other]);
  const site = await process(configured({ jwks: 'tls' }));
  await site.news.ask('site-b');
  expect(signers(site)).toEqual([k1.kid]);
  expect(known(site).record.offered).toEqual([]);
});

it('a key that nobody vouches for is offered, until a person accepts it', async () => {
  publish([k2, e2]);
  const site = await process();
  expect(await site.news.ask('site-b')).toBe('learned');
  expect(signers(site)).toEqual([k1.kid]);
  expect(known(site).record.offered.map(({ kid }) => kid)).toEqual([k2.kid, e2.kid]);
  await expect(site.book.accept('site-b', other.kid)).rejects.toMatchObject({ code: 'KEY_UNREADABLE' });

  await site.book.accept('site-b', k2.kid);
  await site.book.accept('site-b', e2.kid);
  expect(signers(site)).toEqual([k1.kid, k2.kid]);
  expect(known(site).keys.encryption).toMatchObject({ kid: e2.kid, source: 'accepted' });
  expect(known(site).record.offered).toEqual([]);
});

it('what is offered no longer is not shown any more, and keeps its date as long as it is', async () => {
  publish([k2]);
  const site = await process();
  await site.news.ask('site-b');
  const since = known(site).record.offered[0]?.firstSeenMs;
  time.ms += 6 * MINUTE_MS;
  await site.news.ask('site-b');
  expect(known(site).record.offered[0]?.firstSeenMs).toBe(since);
  publish([k1]);
  time.ms += 6 * MINUTE_MS;
  await site.news.ask('site-b');
  expect(known(site).record.offered).toEqual([]);
});

it('an accepted encryption key is sealed to, although the revoked one before it came by a clock ahead of ours', async () => {
  const ahead = statement(k1, { signing: [k1], encryption: [e2], atMs: time.ms + MINUTE_MS });
  const e3 = encryptionKey();
  publish([k1, e3], [ahead, statement(k1, { revoked: [e2] })]);
  const site = await process();
  await site.news.ask('site-b');
  expect(known(site).keys.encryption).toBeUndefined();
  await site.book.accept('site-b', e3.kid);
  expect(known(site).keys.encryption?.kid).toBe(e3.kid);
});

it('a key that a superseded one named stays offered, whatever is published, until a person accepts it', async () => {
  const rotation = statement(k1, { signing: [k2] });
  const second = signingKey();
  const fork = statement(k1, { signing: [second] });
  publish([k2], [rotation, fork]);
  const site = await process();
  await site.news.ask('site-b');
  publish([k2], [rotation]);
  time.ms += 6 * MINUTE_MS;
  await site.news.ask('site-b');
  expect(known(site).record.offered).toMatchObject([{ kid: second.kid, by: k1.kid }]);
  await site.book.accept('site-b', second.kid);
  expect(known(site).record.offered).toEqual([]);
});

it('a key that a known one has signed for counts at once', async () => {
  publish([k2, e2], [statement(k1, { signing: [k2], encryption: [e2] })]);
  const site = await process();
  expect(await site.news.ask('site-b')).toBe('learned');
  expect(signers(site)).toEqual([k1.kid, k2.kid]);
  expect(known(site).keys.encryption?.kid).toBe(e2.kid);
  expect(known(site).record.offered).toEqual([]);
});

it('where TLS is believed, keys are added; what the config pins stays, and what is withdrawn lapses', async () => {
  const settings = configured({ jwks: 'tls' });
  publish([k2, e2]);
  const site = await process(settings);
  expect(await site.news.ask('site-b')).toBe('learned');
  expect(signers(site)).toEqual([k1.kid, k2.kid]);
  expect(known(site).keys.encryption).toMatchObject({ kid: e1.kid, source: 'config' });

  // Published no more, then again, then no more: only the last lasts.
  for (const keys of [[k1], [k2], [k1]]) {
    publish(keys);
    time.ms += 6 * MINUTE_MS;
    await site.news.ask('site-b');
    expect(signers(site)).toEqual([k1.kid, k2.kid]);
    expect(known(site).record.superseded).toHaveLength(keys[0] === k1 ? 1 : 0);
  }
  time.ms += 366 * 24 * 60 * MINUTE_MS;
  await site.book.refresh();
  expect(signers(site)).toEqual([k1.kid]);

  const announcedOnly = await process(configured());
  expect(signers(announcedOnly)).toEqual([k1.kid]);
});

it('a peer is asked once in five minutes by all processes together, and at least once a day', async () => {
  publish([k1]);
  const [one, two] = [await process(), await process()];
  await Promise.all([one, two, one, two].map(({ news }) => news.ask('site-b')));
  expect(asked).toHaveLength(1);
  time.ms += 4 * MINUTE_MS;
  await two.news.ask('site-b');
  expect(asked).toHaveLength(1);
  time.ms += 2 * MINUTE_MS;
  await two.news.ask('site-b');
  expect(asked).toHaveLength(2);

  const { signal } = new AbortController();
  await two.news.askAll(signal);
  expect(asked).toHaveLength(2);
  time.ms += 25 * 60 * MINUTE_MS;
  await two.news.askAll(signal);
  await two.news.askAll(signal);
  expect(asked).toHaveLength(3);
});

it('what the peer said before the question is no answer to it; the next time that it is asked is told', async () => {
  publish([k1]);
  const site = await process();
  expect(await site.news.ask('site-b')).toBe('nothing');
  time.ms += MINUTE_MS;
  publish([k2], [statement(k1, { signing: [k2] })]);
  const question = { sinceMs: time.ms };
  expect(await site.news.ask('site-b', question)).toEqual({ retryAfterMs: 4 * MINUTE_MS });
  expect(asked).toHaveLength(1);
  time.ms += 4 * MINUTE_MS;
  expect(await site.news.ask('site-b', question)).toBe('learned');
  expect(signers(site)).toEqual([k1.kid, k2.kid]);
});

it('keys that are revoked are told by thumbprint, and by fingerprint', async () => {
  const site = await process();
  await site.news.learn('site-b', [statement(k1, { signing: [k2], revoked: [k1] })]);
  expect([...site.news.revokedBy('site-b')]).toEqual([k1.kid, keyFingerprint(k1.publicKey)]);
  expect(site.news.revokedBy('site-x').size).toBe(0);
});

it('what waits for the same answer is not judged before it, in whichever process', async () => {
  let release = () => {};
  const answered = new Promise<void>((resolve) => {
    release = resolve;
  });
  publish([k2], [statement(k1, { signing: [k2] })]);
  const honest = answer;
  answer = (request, response) => void answered.then(() => honest(request, response));
  const [one, two] = [await process(), await process()];
  const first = one.news.ask('site-b');
  await until(() => asked.length === 1);
  await two.book.refresh();
  const second = two.news.ask('site-b');
  release();
  expect(await Promise.all([first, second])).toEqual(['learned', 'learned']);
  expect(signers(two)).toEqual([k1.kid, k2.kid]);
  expect(asked).toHaveLength(1);
});

it('nobody is asked where the config says so, or gives no address', async () => {
  publish([k2]);
  await (await process(configured({ jwks: 'off' }))).news.ask('site-b');
  await (await process()).news.ask('site-c');
  expect(asked).toEqual([]);
});

it('the address can be another one, under the same certificate', async () => {
  publish([k2]);
  const site = await process(configured({ jwksUrl: url('/other/keys') }));
  await site.news.ask('site-b');
  expect(asked).toEqual(['/other/keys']);
});

function endless(response: Parameters<RequestListener>[1]): void {
  const more = () => {
    while (!response.destroyed && response.write(Buffer.alloc(16 * 1024, ' ')));
  };
  response.on('drain', more);
  more();
}

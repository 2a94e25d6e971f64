/** Lines to a peer that moves, or gets another certificate, while the bridge runs. Real TLS at both places. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { createLines } from '../../src/compose/lines.js';
import { parseEnvelopeId } from '../../src/domain/envelope-id.js';
import type { Peer } from '../../src/domain/peer.js';
import type { Lines } from '../../src/transport/lines.js';
import { makeCertificate, type TestCertificate } from '../support/certificates.js';

const { signal } = new AbortController();
const id = parseEnvelopeId(randomUUID());

let certificates: readonly TestCertificate[];
let servers: readonly Server[];
let peers: Map<string, Peer>;
let lines: Lines;

beforeAll(async () => {
  certificates = await Promise.all([makeCertificate('localhost'), makeCertificate('localhost')]);
  servers = certificates.map(({ certificate, privateKey }, index) =>
    createServer(
      { cert: certificate, key: privateKey },
      (_, response) => void response.end(`place ${index}`),
    ),
  );
  for (const server of servers) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
});
afterAll(() => {
  for (const server of servers) server.close();
});
beforeEach(() => {
  peers = new Map();
  const [identity] = certificates;
  if (identity === undefined) throw new Error('no certificate');
  lines = createLines({ peers, exchanges: new Map(), identity, bridgeId: 'test', processes: 1 });
});
afterEach(() => lines.close());

function put(place: number, fingerprints: readonly (string | undefined)[]): void {
  const address = servers[place]?.address() as AddressInfo | undefined;
  peers.set('site-b', {
    id: 'site-b',
    name: 'Hospital B',
    contact: 'unknown',
    url: `https://127.0.0.1:${address?.port}`,
    signingKeys: [],
    certificateFingerprints: fingerprints.filter((each) => each !== undefined),
    deliverTo: [],
    allowUnsigned: false,
    limits: { places: 1, windows: [] },
  });
}

async function ask(): Promise<string | undefined> {
  const answer = await lines.receiptDeskOf('site-b')?.fetchReceipt(id, signal);
  return answer?.toString();
}

it('a peer of which nothing is known to tell it by is not called', async () => {
  put(0, []);
  await expect(ask()).rejects.toMatchObject({ code: 'PEER_UNTRUSTED' });
  expect(() => lines.outboxTo('site-b')).toThrow('nothing is known of site-b');
});

it('a pin that is taken away counts at once', async () => {
  put(0, [certificates[0]?.fingerprint]);
  expect(await ask()).toBe('place 0');
  put(0, [certificates[1]?.fingerprint]);
  await expect(ask()).rejects.toMatchObject({ code: 'PEER_UNTRUSTED' });
});

it('a peer that moves is called where it is now, and over one line as long as it stays', async () => {
  put(0, [certificates[0]?.fingerprint]);
  expect(await ask()).toBe('place 0');
  const before = lines.outboxTo('site-b');
  put(0, [certificates[0]?.fingerprint]);
  expect(lines.outboxTo('site-b')).toBe(before);
  put(1, [certificates[1]?.fingerprint]);
  expect(await ask()).toBe('place 1');
  expect(lines.outboxTo('site-b')).not.toBe(before);
});

it('a peer that is forgotten is called no more', async () => {
  put(0, [certificates[0]?.fingerprint]);
  expect(await ask()).toBe('place 0');
  peers.clear();
  expect(lines.receiptDeskOf('site-b')).toBeUndefined();
  expect(() => lines.outboxTo('site-b')).toThrow('there is no peer site-b');
});

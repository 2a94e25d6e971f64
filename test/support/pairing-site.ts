/**
 * Sites that pair with each other in this process: real keys, cards, TLS listeners, desks and books of peers; no queue, so
 * that test envelopes are only noted. And somebody who stands in for one of them.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureSite } from '../../src/compose/first-run.js';
import { createPairing, type Pairing } from '../../src/compose/pairing.js';
import { openSite, type SiteContext } from '../../src/compose/site.js';
import { parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { isGatewayError } from '../../src/errors/gateway-error.js';
import { createPeerApp } from '../../src/http/peer-app.js';
import { listenTls } from '../../src/http/server.js';
import { silentLog } from '../../src/observe/log.js';
import { createFileDurably } from '../../src/spool/atomic.js';
import type { ClientIdentity } from '../../src/transport/client-identity.js';
import { adoptPeer, assertAdoptable } from '../../src/trust/peer-adopt.js';
import { ownCard, type PeerCard } from '../../src/trust/peer-card.js';
import { createFakePeerApi } from './fake-operations.js';

export interface PairingSite extends Pairing {
  readonly id: string;
  readonly context: SiteContext;
  readonly url: string;
  readonly card: PeerCard;
  readonly identity: ClientIdentity;
  /** What its clock shows. */
  readonly time: { ms: number };
  /** Peers that test envelopes were sent to. */
  readonly tested: readonly string[];
  remove(): Promise<void>;
}

const TEST_ID = parseEnvelopeId('11111111-2222-4333-8444-555555555555');

/** @param config what its config has more */
export async function makePairingSite(
  id: string,
  config: Readonly<Record<string, unknown>> = {},
): Promise<PairingSite> {
  const folder = await mkdtemp(join(tmpdir(), `drawbridge-pairing-${id}-`));
  const path = join(folder, 'drawbridge.yaml');
  const site = { id, name: `Hospital ${id}`, contact: `pacs@${id}.example` };
  await writeFile(path, JSON.stringify({ site, ...config }));
  const { settings } = await ensureSite(path, {});
  const context = await openSite(settings, silentLog);
  const { layout, keys } = context;
  const time = { ms: Date.now() };
  const clock = { now: () => time.ms };
  const tested: string[] = [];
  const adoptParts = { settings, createFile: createFileDurably, clock };
  const pairing = createPairing({
    ownSide: (host) => ({
      card: ownCard(settings, keys, host, listener.port),
      signingKey: keys.signing.privateKey,
    }),
    identity: () => keys.tls,
    judge: (card) => assertAdoptable(layout.trust, card, adoptParts),
    async adopt(card, compared) {
      await adoptPeer(layout.trust, card, compared, adoptParts);
      await context.refresh();
    },
    tests: {
      async send(peerId) {
        tested.push(peerId);
        return TEST_ID;
      },
      view: () => ({ received: false }),
    },
    clock,
    log: silentLog,
    pollMs: 10,
  });
  const listener = await listenTls({
    host: '127.0.0.1',
    port: 0,
    certificate: keys.tls.certificate,
    privateKey: keys.tls.privateKey,
    authorities: [],
    app: createPeerApp(
      { ...createFakePeerApi(), pairing: pairing.door },
      { log: silentLog, maxEnvelopeBytes: 1024 },
    ),
  });
  return {
    ...pairing,
    id,
    context,
    url: `https://127.0.0.1:${listener.port}`,
    card: ownCard(settings, keys, '127.0.0.1', listener.port),
    identity: keys.tls,
    time,
    tested,
    async remove() {
      pairing.close();
      context.close();
      await listener.close(0);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface StandIn {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Somebody who answers pairing messages in the place of a bridge.
 * @param identity what he shows
 * @param answer what it throws is a refusal, if it is one of ours; else the line breaks
 */
export async function startStandIn(
  identity: ClientIdentity,
  answer: (to: 'request' | 'standing', message: Buffer) => Promise<Buffer>,
): Promise<StandIn> {
  const server = createServer(
    { cert: identity.certificate, key: identity.privateKey },
    async (request, response) => {
      try {
        const message = Buffer.concat(await request.toArray());
        const text = await answer(
          request.url?.endsWith('/request') === true ? 'request' : 'standing',
          message,
        );
        response.setHeader('content-type', 'application/jose');
        response.end(text);
      } catch (error) {
        if (!isGatewayError(error)) return response.destroy();
        response.statusCode = 409;
        response.end();
      }
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

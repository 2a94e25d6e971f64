/**
 * The transport by way of a hub: envelopes are put into the inboxes of others and taken from our own, over connections
 * that we open. To the hub a site is one account; which of its bridges we are, we say ourselves.
 */
import { type EnvelopeId, isEnvelopeId } from '../../domain/envelope-id.js';
import type { HubExchange } from '../../domain/exchange.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { ClientIdentity } from '../client-identity.js';
import type { Transport, WaitingEnvelope } from '../transport.js';
import { parseJsonObject, refusalFrom } from './answer.js';
import { createVerifiedAgent } from './connection.js';
import { download } from './download.js';
import { exchange } from './exchange.js';
import { createOutbox } from './outbox.js';
import type { ResumablePeer } from './resumable.js';

/** Hubs answer at the latest after so long. */
const MAX_WAIT_SECONDS = 60;
/** Entity tags of transfers that broke, kept until they are done. */
const MAX_ETAGS = 1_000;

/** @param claimer tells the bridges apart that empty one inbox: 8 to 32 lower hex digits, the same after a restart */
export function createHubTransport(hub: HubExchange, identity: ClientIdentity, claimer: string): Transport {
  const agent = createVerifiedAgent(hub.trust, identity);
  const base = hub.url.replace(/\/+$/, '');
  const etags = new Map<EnvelopeId, string>();

  const reach = async (): Promise<ResumablePeer> => {
    const token = await hub.token?.();
    return {
      agent,
      base,
      headers: {
        'drawbridge-bridge': claimer,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
    };
  };

  return {
    ...createOutbox(reach),
    async list({ signal, waitMs = 0 }) {
      const { headers } = await reach();
      const wait = Math.min(MAX_WAIT_SECONDS, Math.floor(waitMs / 1000));
      const url = new URL(`${base}/api/jmix/inbox?wait=${wait}`);
      const answer = await exchange({ agent, method: 'GET', url, headers: { ...headers }, signal });
      if (answer.status !== 200) throw refusalFrom(answer);
      return parseListing(answer.body);
    },
    async take(envelope, file, options) {
      const { id } = envelope;
      const onEtag = (etag: string) => {
        if (etags.size >= MAX_ETAGS) etags.clear();
        etags.set(id, etag);
      };
      await download({ ...options, peer: await reach(), envelope, file, etag: etags.get(id), onEtag });
      etags.delete(id);
    },
    async acknowledge(id, outcome, signal) {
      const { headers } = await reach();
      const body = Buffer.from(JSON.stringify({ outcome }));
      const answer = await exchange({
        agent,
        method: 'POST',
        url: new URL(`${base}/api/jmix/${id}/acknowledge`),
        headers: { ...headers, 'content-type': 'application/json' },
        body: { sizeBytes: body.length, stream: body },
        signal,
      }).catch((error: unknown) => {
        throw unconfirmedIsUnreachable(error);
      });
      if (answer.status !== 204) throw refusalFrom(answer);
    },
    close: () => agent.destroy(),
  };
}

/** To acknowledge twice is harmless, so what may have been heard is simply said again. */
function unconfirmedIsUnreachable(error: unknown): unknown {
  if (!(error instanceof GatewayError) || error.code !== 'SHIP_UNCONFIRMED') return error;
  return new GatewayError('PEER_UNREACHABLE', 'the connection broke before the hub answered', {
    cause: error,
  });
}

function parseListing(body: Buffer): readonly WaitingEnvelope[] {
  const { envelopes } = parseJsonObject(body);
  if (!Array.isArray(envelopes)) throw unreadable();
  return envelopes.map((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null || !('id' in entry) || !('size_bytes' in entry))
      throw unreadable();
    const { id, size_bytes: sizeBytes } = entry;
    if (
      !isEnvelopeId(id) ||
      typeof sizeBytes !== 'number' ||
      !Number.isSafeInteger(sizeBytes) ||
      sizeBytes < 0
    )
      throw unreadable();
    return { id, sizeBytes };
  });
}

function unreadable(): GatewayError {
  return new GatewayError(
    'PEER_REFUSED',
    'the hub answers with no list of envelopes: is its url that of a hub?',
  );
}

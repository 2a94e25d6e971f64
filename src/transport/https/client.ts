/** The HTTPS transport: one peer's API at `<url>/api/jmix`, over verified connections. */
import type { Agent } from 'node:https';
import type { EnvelopeId } from '../../domain/envelope-id.js';
import type { Peer } from '../../domain/peer.js';
import { GatewayError } from '../../errors/gateway-error.js';
import { openEnvelopeArchive } from '../../jmix/envelope-archive.js';
import type { OutgoingEnvelope, Transport } from '../transport.js';
import { classifyStatus, type Problem } from './classify.js';
import { type ClientIdentity, createPeerAgent } from './connection.js';
import { type Answer, exchange } from './exchange.js';

export interface HttpsTransport extends Transport {
  /** Closes idle connections. */
  close(): void;
}

/** @throws PEER_UNREACHABLE when the peer has no url */
export function createHttpsTransport(peer: Peer, identity: ClientIdentity): HttpsTransport {
  if (peer.url === undefined)
    throw new GatewayError('PEER_REFUSED', `the peer ${peer.id} has no url in the config`);
  const base = peer.url.replace(/\/+$/, '');
  const agent: Agent = createPeerAgent(peer, identity);
  const at = (id: EnvelopeId, what: 'status' | 'receipt') => new URL(`${base}/api/jmix/${id}/${what}`);

  return {
    async put(envelope: OutgoingEnvelope, { signal, onSent }) {
      const archive = await openEnvelopeArchive(envelope.folder);
      const answer = await exchange({
        agent,
        method: 'POST',
        url: new URL(`${base}/api/jmix`),
        headers: { 'content-type': 'application/x-tar' },
        body: { sizeBytes: archive.sizeBytes, stream: archive.stream },
        signal,
        onSent,
      });
      if (answer.status !== 200 && answer.status !== 201) throw refused(answer);
    },
    async probe(id, signal) {
      const answer = await exchange({ agent, method: 'GET', url: at(id, 'status'), headers: {}, signal });
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw refused(answer);
      const body = parseJson(answer.body) as { manifest_sha256?: unknown } | undefined;
      return typeof body?.manifest_sha256 === 'string' ? { manifestSha256: body.manifest_sha256 } : undefined;
    },
    async fetchReceipt(id, signal) {
      const answer = await exchange({ agent, method: 'GET', url: at(id, 'receipt'), headers: {}, signal });
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw refused(answer);
      return answer.body;
    },
    async sendReceipt(id, receipt, signal) {
      const answer = await exchange({
        agent,
        method: 'POST',
        url: at(id, 'receipt'),
        headers: { 'content-type': 'application/jose' },
        body: { sizeBytes: receipt.length, stream: receipt },
        signal,
      });
      if (answer.status !== 204 && answer.status !== 200) throw refused(answer);
    },
    close: () => agent.destroy(),
  };
}

function refused(answer: Answer): GatewayError {
  const body = parseJson(answer.body) as Record<string, unknown> | undefined;
  const problem: Problem = {
    ...(typeof body?.['code'] === 'string' ? { code: body['code'].slice(0, 64) } : {}),
    ...(typeof body?.['detail'] === 'string' ? { detail: body['detail'].slice(0, 300) } : {}),
  };
  return classifyStatus(answer.status, answer.headers, problem);
}

function parseJson(bytes: Buffer): unknown {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

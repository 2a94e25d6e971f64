/** Look-ups in a directory: GET <url>/api/jmix/directory/<site>, over verified connections, with our certificate. */
import type { ServerTrust } from '../../domain/exchange.js';
import type { ClientIdentity } from '../client-identity.js';
import { refusalFrom } from './answer.js';
import { createVerifiedAgent } from './connection.js';
import { exchange } from './exchange.js';

export interface DirectoryClient {
  /**
   * The attestation of a site, as compact JWS, not verified yet; undefined when the directory has no such site.
   * @throws PEER_UNREACHABLE, PEER_UNTRUSTED, PEER_BUSY, PEER_REFUSED (also for an answer above 64 KiB), CANCELLED (also
   *   when it takes longer than 20 s)
   */
  lookUp(siteId: string, signal: AbortSignal): Promise<Buffer | undefined>;
  /** Closes idle connections. */
  close(): void;
}

/** Far more than an attestation, far less than what would hurt. */
const MAX_BYTES = 64 * 1024;
/** From the first packet to the last byte. */
const TIMEOUT_MS = 20_000;

/** @param url `https://host:port`, from the config */
export function createDirectoryClient(
  url: string,
  trust: ServerTrust,
  identity: ClientIdentity,
): DirectoryClient {
  const agent = createVerifiedAgent(trust, identity);
  const base = url.replace(/\/+$/, '');
  return {
    async lookUp(siteId, signal) {
      const answer = await exchange({
        agent,
        method: 'GET',
        url: new URL(`${base}/api/jmix/directory/${encodeURIComponent(siteId)}`),
        headers: {},
        maxAnswerBytes: MAX_BYTES,
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw refusalFrom(answer);
      return answer.body;
    },
    close: () => agent.destroy(),
  };
}

/**
 * The FTPS transport: two folders on a server that both bridges reach from behind their firewalls, by explicit TLS
 * (RFC 4217). The server needs to know nothing of envelopes: all that is asked of it is to store, append and rename.
 */
import type { Transport } from '../transport.js';
import { endClaim, listEnvelopes } from './inbox.js';
import { type FtpsOptions, folderPath } from './options.js';
import { createConnectionPool } from './pool.js';
import { probeEnvelope } from './probe.js';
import { putEnvelope } from './put.js';
import { takeEnvelope } from './take.js';

export type { FtpsOptions } from './options.js';

export function createFtpsTransport(options: FtpsOptions): Transport {
  const pool = createConnectionPool(options);
  const outbox = () => folderPath(options.outbox, 'outbox');
  const inbox = () => folderPath(options.inbox, 'inbox');
  const { claimer, afterTaking } = options;
  return {
    async put(envelope, putOptions) {
      const folder = outbox();
      await pool.use(putOptions.signal, (connection) =>
        putEnvelope(connection, folder, envelope, putOptions),
      );
    },
    async probe(envelope, signal) {
      const folder = outbox();
      return await pool.use(signal, (connection) => probeEnvelope(connection, folder, envelope));
    },
    async list({ signal }) {
      const folder = inbox();
      return await pool.use(signal, (connection) => listEnvelopes(connection, folder, claimer));
    },
    async take(envelope, file, takeOptions) {
      const folder = inbox();
      await pool.use(takeOptions.signal, (connection) =>
        takeEnvelope(connection, folder, envelope, file, takeOptions),
      );
    },
    async acknowledge(id, outcome, signal) {
      const folder = inbox();
      const end = outcome === 'taken' ? afterTaking : outcome;
      await pool.use(signal, (connection) => endClaim(connection, folder, { id, claimer }, end));
    },
    close: () => pool.close(),
  };
}

/** A small PACS for the demo: takes everything, keeps the data sets, and knows their hashes. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Scp, startScp } from '../dimse/scp.js';
import type { IncomingInstance, StoreSession } from '../dimse/store-scp.js';
import type { Log } from '../observe/log.js';

export interface DemoPacs {
  readonly port: number;
  /** SHA-256 of the data set by SOP Instance UID. */
  readonly stored: ReadonlyMap<string, string>;
  close(): Promise<void>;
}

export async function startDemoPacs(aeTitle: string, folder: string, log: Log): Promise<DemoPacs> {
  const stored = new Map<string, string>();
  let count = 0;

  const begin = async (instance: IncomingInstance): Promise<StoreSession> => {
    count += 1;
    const file = await open(join(folder, `${count}.dataset`), 'w');
    const hash = createHash('sha256');
    return {
      write(chunk) {
        hash.update(chunk);
        return file.appendFile(chunk);
      },
      async commit() {
        await file.close();
        stored.set(instance.sopInstanceUid, hash.digest('hex'));
      },
      discard: () => file.close(),
    };
  };

  const scp: Scp = await startScp({
    host: '127.0.0.1',
    port: 0,
    policy: { calledAes: [aeTitle], callers: [], anyCaller: true, privateSopClasses: [] },
    handler: { begin },
    log,
    idleTimeoutMs: 60_000,
    acceptTimeoutMs: 30_000,
    maxAssociations: 10,
    maxAssociationsPerCaller: 10,
    maxPduBytes: 128 * 1024,
    maxInstanceBytes: Number.MAX_SAFE_INTEGER,
  });
  return { port: scp.port, stored, close: () => scp.close(0) };
}

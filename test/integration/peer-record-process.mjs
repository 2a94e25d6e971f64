/**
 * A process that learns one key of a peer after the other, so that a test can run several, and kill one. Prints each kid
 * when it is durable. Arguments: the trust folder, the folder of the built program, how many keys.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, built, count] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(built, path)).href);
const { openPeerRecords } = await load('trust/peer-record.js');
const { createFileDurably } = await load('spool/atomic.js');

const records = openPeerRecords(folder, createFileDurably);
for (let index = 0; index < Number(count); index++) {
  const kid = randomBytes(32).toString('base64url');
  const key = randomBytes(32).toString('base64');
  await records.update('site-b', (record) => ({
    ...record,
    offered: [...record.offered, { kid, purpose: 'signing', key, firstSeenMs: Date.now() }],
  }));
  console.log(kid);
}

/** What the server has under an id: waiting, being taken by somebody, taken and kept, or refused. */
import { envelopeArchiveSize } from '../../jmix/envelope-archive.js';
import { archiveName, archiveNames, parseExchangeName } from '../exchange-names.js';
import type { OutgoingEnvelope, Probe } from '../transport.js';
import { isBeginning } from './comparison.js';
import type { FtpsConnection } from './connection.js';
import { DONE_FOLDER } from './options.js';
import { listFiles, sizeOf } from './remote-files.js';

/** @param folder the outbox on the server, without a slash at its end */
export async function probeEnvelope(
  connection: FtpsConnection,
  folder: string,
  envelope: OutgoingEnvelope,
): Promise<Probe> {
  const found = await find(connection, folder, envelope);
  if (found === undefined) return 'absent';
  const sizeBytes = await envelopeArchiveSize(envelope.folder);
  if (found.sizeBytes !== sizeBytes) return 'other';
  return (await isBeginning(connection, found.path, sizeBytes, envelope.folder)) ? 'same' : 'other';
}

async function find(
  connection: FtpsConnection,
  folder: string,
  { id }: OutgoingEnvelope,
): Promise<{ path: string; sizeBytes: number } | undefined> {
  const names = [...archiveNames(id), `${DONE_FOLDER}/${archiveName(id)}`];
  for (const path of names.map((name) => `${folder}/${name}`)) {
    const sizeBytes = await sizeOf(connection, path);
    if (sizeBytes !== undefined) return { path, sizeBytes };
  }
  const inHand = (await listFiles(connection, folder)).find((file) => {
    const entry = parseExchangeName(file.name);
    return entry?.id === id && (entry.state === 'claimed' || entry.state === 'refused');
  });
  return inHand && { path: `${folder}/${inHand.name}`, sizeBytes: inHand.sizeBytes };
}

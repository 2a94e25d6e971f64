/**
 * Whether what lies on the server is the envelope's archive, or its beginning. Sizes alone do not tell: two envelopes
 * may have one size, and two that wrote to one file at once leave a mixture. The last bytes do tell, since everything
 * but some headers in an archive is ciphertext, and ciphertext is the same nowhere else.
 */
import { openEnvelopeArchive } from '../../jmix/envelope-archive.js';
import type { FtpsConnection } from './connection.js';
import { readEnd } from './remote-files.js';

/** Above the size of the headers and documents around a payload. */
const COMPARED_BYTES = 32 * 1024;

/**
 * True when the archive begins with what lies at `path`, as far as its last bytes tell, or this account may not read.
 * @param sizeBytes of what lies there, at most that of the archive
 * @throws PEER_BUSY when it is being written to
 */
export async function isBeginning(
  connection: FtpsConnection,
  path: string,
  sizeBytes: number,
  folder: string,
): Promise<boolean> {
  const start = Math.max(0, sizeBytes - COMPARED_BYTES);
  const theirs = await readEnd(connection, path, start, sizeBytes - start);
  if (theirs === undefined) return true;
  return theirs.equals(await readArchive(folder, start, sizeBytes - start));
}

async function readArchive(folder: string, start: number, count: number): Promise<Buffer> {
  const { stream } = await openEnvelopeArchive(folder, start);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= count) break;
  }
  return Buffer.concat(chunks).subarray(0, count);
}

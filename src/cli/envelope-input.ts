/** An envelope that a command line names: a folder, or an archive of one, which is unpacked beside the output. */
import { createReadStream } from 'node:fs';
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../errors/gateway-error.js';
import { detectMediaType, MAGIC_BYTES, unpackEnvelopeArchive } from '../jmix/envelope-archive.js';
import { type EnvelopeSource, openEnvelopeFolder } from '../jmix/envelope-folder.js';

/** Files of one envelope, and bytes of one archive, that a command takes. */
export const MAX_ENTRIES = 200_000;
export const MAX_BYTES = 64 * 1024 ** 3;

/**
 * @param scratch a folder of the caller's, where an archive is unpacked
 * @throws ENVELOPE_MALFORMED, ARCHIVE_UNSAFE, ENVELOPE_TOO_LARGE, MEDIA_TYPE_UNSUPPORTED
 */
export async function openEnvelopeInput(path: string, scratch: string): Promise<EnvelopeSource> {
  const kind = await stat(path).catch((cause: unknown) => {
    throw new GatewayError('ENVELOPE_NOT_FOUND', `there is no envelope ${path}`, { cause });
  });
  if (kind.isDirectory()) return openEnvelopeFolder(path);
  const mediaType = detectMediaType(await readHead(path));
  if (mediaType === undefined) {
    throw new GatewayError('MEDIA_TYPE_UNSUPPORTED', 'expected a folder, or an archive: zip, tar or tar.gz');
  }
  const folder = join(scratch, 'envelope');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await unpackEnvelopeArchive(
    createReadStream(path, { highWaterMark: 1024 * 1024 }),
    mediaType,
    folder,
    { maxBytes: MAX_BYTES, maxEntries: MAX_ENTRIES },
    { scratchFile: join(scratch, 'envelope.zip') },
  );
  return openEnvelopeFolder(folder);
}

/** Runs with a scratch folder that is gone afterwards, however it ends. */
export async function withScratch<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

async function readHead(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

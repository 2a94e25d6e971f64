/** An envelope that a command line names: a folder, or an archive of one, which is unpacked beside the output. */
import { createReadStream } from 'node:fs';
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../errors/gateway-error.js';
import {
  detectMediaType,
  MAGIC_BYTES,
  OPENPGP_MEDIA_TYPE,
  unpackEnvelopeArchive,
} from '../jmix/envelope-archive.js';
import { type EnvelopeSource, openEnvelopeFolder } from '../jmix/envelope-folder.js';
import { assertNoOpenpgpSigner, type OpenpgpOptions, unpackOpenpgp, type Vouched } from './openpgp-input.js';

/** Files of one envelope, and bytes of one archive, that a command takes. */
export const MAX_ENTRIES = 200_000;
export const MAX_BYTES = 64 * 1024 ** 3;

/** An envelope, and who has signed the OpenPGP message that it was in, if it was in one. */
export interface EnvelopeInput extends EnvelopeSource, Vouched {}

/**
 * @param scratch a folder of the caller's, where an archive is unpacked
 * @throws ENVELOPE_MALFORMED, ARCHIVE_UNSAFE, ENVELOPE_TOO_LARGE, MEDIA_TYPE_UNSUPPORTED; for an OpenPGP message what
 *   `unpackOpenpgp` throws
 */
export async function openEnvelopeInput(
  path: string,
  scratch: string,
  options: OpenpgpOptions = { gpg: 'gpg' },
  signal?: AbortSignal,
): Promise<EnvelopeInput> {
  const kind = await stat(path).catch((cause: unknown) => {
    throw new GatewayError('ENVELOPE_NOT_FOUND', `there is no envelope ${path}`, { cause });
  });
  // A pipe would be waited at, a device read for ever.
  if (!kind.isDirectory() && !kind.isFile())
    throw new GatewayError('MEDIA_TYPE_UNSUPPORTED', `expected a folder or a file: ${path}`);
  const mediaType = kind.isDirectory() ? undefined : detectMediaType(await readHead(path));
  const limits = { maxBytes: MAX_BYTES, maxEntries: MAX_ENTRIES };
  const folder = join(scratch, 'envelope');
  if (mediaType === OPENPGP_MEDIA_TYPE) {
    const vouched = await unpackOpenpgp(path, scratch, limits, options, signal);
    return { ...(await openEnvelopeFolder(folder)), ...vouched };
  }
  assertNoOpenpgpSigner(options);
  if (kind.isDirectory()) return openEnvelopeFolder(path);
  if (mediaType === undefined) {
    throw new GatewayError(
      'MEDIA_TYPE_UNSUPPORTED',
      'expected a folder, an archive (zip, tar or tar.gz), or an OpenPGP message',
    );
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await unpackEnvelopeArchive(
    createReadStream(path, { highWaterMark: 1024 * 1024 }),
    mediaType,
    folder,
    limits,
    { scratchFile: join(scratch, 'envelope.zip'), ...(signal === undefined ? {} : { signal }) },
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

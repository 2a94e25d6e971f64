/** Takes the envelope out of an OpenPGP message, into a folder of the caller's where nobody looks. */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { GatewayError } from '../errors/gateway-error.js';
import {
  type ArchiveLimits,
  detectMediaType,
  MAGIC_BYTES,
  OPENPGP_MEDIA_TYPE,
  type UnpackOptions,
  unpackEnvelopeArchive,
} from '../jmix/envelope-archive.js';
import { ZIP_MEANWHILE } from '../jmix/envelope-names.js';
import { peekHead } from '../jmix/stream-head.js';
import type { Signature } from './decrypt.js';
import type { Openpgp } from './openpgp.js';

const READ_CHUNK_BYTES = 256 * 1024;

/**
 * Nothing of what is in `folder` is true before this has returned.
 * @param path of the message
 * @param folder is there, and empty but for what the message does not hold; a zip is kept in it meanwhile
 * @returns the signatures over all of it, to be judged by `signerOf`
 * @throws ENVELOPE_MALFORMED when it holds no envelope, and what decrypting and unpacking throw
 */
export async function unpackMessage(
  { decrypt }: Pick<Openpgp, 'decrypt'>,
  path: string,
  folder: string,
  limits: ArchiveLimits,
  options: Omit<UnpackOptions, 'scratchFile'> = {},
): Promise<readonly Signature[]> {
  const { signatures } = await decrypt({
    message: createReadStream(path, { highWaterMark: READ_CHUNK_BYTES }),
    maxBytes: limits.maxBytes,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    async consume(plaintext) {
      const { head, stream } = await peekHead(plaintext, MAGIC_BYTES);
      const mediaType = detectMediaType(head);
      if (mediaType === undefined || mediaType === OPENPGP_MEDIA_TYPE) {
        throw new GatewayError(
          'ENVELOPE_MALFORMED',
          'the OpenPGP message holds no envelope: expected tar, tar.gz or zip',
        );
      }
      await unpackEnvelopeArchive(stream, mediaType, folder, limits, {
        ...options,
        scratchFile: join(folder, ZIP_MEANWHILE),
      });
    },
  });
  return signatures;
}

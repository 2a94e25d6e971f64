/** `drawbridge seal --openpgp`: the envelope as one OpenPGP message, `<id>.JMIX.tar.gpg`. */
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileEntry } from '../jmix/files-list.js';
import type { PlainEnvelopeRequest } from '../jmix/plain-envelope.js';
import { encryptMessage } from '../openpgp/encrypt.js';
import type { Gnupg } from '../openpgp/home.js';
import { ownKey } from '../openpgp/own-key.js';
import { sealMessage } from '../openpgp/seal-message.js';
import { syncFolder } from '../spool/atomic.js';

/**
 * @param fingerprints of the receivers' primary keys
 * @throws what `sealMessage` throws; OPENPGP_UNAVAILABLE when the home has no key of ours
 */
export async function sealToMessage(
  gnupg: Gnupg,
  fingerprints: readonly string[],
  contents: Omit<PlainEnvelopeRequest, 'archiveSink'>,
  out: string,
): Promise<{ readonly path: string; readonly sizeBytes: number; readonly files: readonly FileEntry[] }> {
  const path = join(out, `${contents.id}.JMIX.tar.gpg`);
  const part = `${path}.part`;
  const { fingerprint: signer } = await ownKey(gnupg);
  try {
    const messageSink = createWriteStream(part, { flags: 'wx', mode: 0o600, flush: true });
    const encrypt = (request: Omit<Parameters<typeof encryptMessage>[0], 'gnupg' | 'signer'>) =>
      encryptMessage({ ...request, gnupg, signer });
    const sealed = await sealMessage({ encrypt }, { ...contents, fingerprints, messageSink });
    await rename(part, path);
    await syncFolder(out);
    return { path, sizeBytes: sealed.archiveSizeBytes, files: sealed.files };
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

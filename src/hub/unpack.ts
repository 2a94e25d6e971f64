/**
 * Takes an archive apart that must be a sealed envelope. A payload that is not sealed is refused at its first name,
 * before a byte of it has touched the disk; so is every other name that a sealed envelope does not have.
 */
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { GatewayError } from '../errors/gateway-error.js';
import { classifyEnvelopeError } from '../jmix/classify.js';
import { ENVELOPE_FILES, MANIFEST_FILE, PLAIN_PAYLOAD, README_FILE } from '../jmix/envelope-names.js';
import { pipeInto } from '../jmix/pipe-into.js';
import { readTar } from '../jmix/tar-reader.js';

/** The files of a sealed envelope, a README and a folder around them. */
const MAX_ENTRIES = 8;
const WRITE_BUFFER_BYTES = 1024 * 1024;

/**
 * Writes the envelope's files into `folder`, which must be empty; the caller clears it after a throw. What is left of
 * `source` after a refusal stays unread, so that a server can still answer; an abort destroys it.
 * @param source a plain tar with the files at top level, or all under one folder
 * @throws ENVELOPE_MALFORMED when it is no whole tar, has no manifest, or is not sealed; ARCHIVE_UNSAFE,
 *   ENVELOPE_TOO_LARGE, SPOOL_WRITE_FAILED; CANCELLED on abort
 */
export async function unpackSealed(
  source: Readable,
  folder: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<void> {
  addAbortSignal(signal, source);
  const bytes: AsyncIterator<Buffer> = source.iterator({ destroyOnReturn: false });
  const written = new Set<string>();
  let top: string | undefined;
  try {
    for await (const entry of readTar(bytes, { maxEntries: MAX_ENTRIES, maxBytes })) {
      signal.throwIfAborted();
      const [first = '', ...rest] = entry.name.split('/');
      // The first entry decides whether there is a folder around all.
      top ??= entry.kind === 'folder' || rest.length > 0 ? first : '';
      if (top === PLAIN_PAYLOAD) throw notSealed();
      const name = nameInside(entry.name, top);
      if (name === undefined || name === README_FILE) continue;
      if (name === PLAIN_PAYLOAD || name.startsWith(`${PLAIN_PAYLOAD}/`)) throw notSealed();
      if (entry.kind === 'folder' || !ENVELOPE_FILES.includes(name)) {
        throw new GatewayError('ARCHIVE_UNSAFE', 'the archive holds a name that no sealed envelope has');
      }
      const sink = createWriteStream(join(folder, name), {
        flags: 'wx',
        mode: 0o600,
        highWaterMark: WRITE_BUFFER_BYTES,
      });
      await pipeInto(entry.body(), sink, signal);
      written.add(name);
    }
  } catch (error) {
    throw classifyEnvelopeError(error, signal);
  }
  if (!written.has(MANIFEST_FILE)) {
    throw new GatewayError('ENVELOPE_MALFORMED', `the archive holds no ${MANIFEST_FILE}`);
  }
}

/** @returns undefined for the folder around all */
function nameInside(name: string, top: string): string | undefined {
  if (top === '') return name;
  if (name === top) return undefined;
  if (name.startsWith(`${top}/`)) return name.slice(top.length + 1);
  throw new GatewayError('ARCHIVE_UNSAFE', 'an entry of the archive lies outside the envelope');
}

function notSealed(): GatewayError {
  return new GatewayError(
    'ENVELOPE_MALFORMED',
    'the payload is not sealed: a hub takes nothing that it could read',
  );
}

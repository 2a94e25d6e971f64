/** A staging that keeps what it is given in memory, and sources that give their bytes in pieces of any size. */
import { createHash } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import type { EnvelopeSource } from '../../../../src/jmix/envelope-folder.js';

export interface MemoryStaging {
  readonly files: ReadonlyMap<string, Buffer>;
  stage(name: string, sizeBytes: number): Promise<Writable>;
  /** name → SHA-256, lower hex, of what lies there. */
  hashes(): Record<string, string>;
}

export function memoryStaging(): MemoryStaging {
  const files = new Map<string, Buffer>();
  return {
    files,
    async stage(name) {
      const chunks: Buffer[] = [];
      return new Writable({
        write(chunk: Buffer, _encoding, done) {
          chunks.push(Buffer.from(chunk));
          done();
        },
        final(done) {
          files.set(name, Buffer.concat(chunks));
          done();
        },
      });
    },
    hashes() {
      const entries = [...files].map(([name, bytes]) => [
        name,
        createHash('sha256').update(bytes).digest('hex'),
      ]);
      return Object.fromEntries(entries);
    },
  };
}

/** A sink that keeps what it gets. */
export function memorySink(): { readonly sink: Writable; bytes(): Buffer } {
  const chunks: Buffer[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  return { sink, bytes: () => Buffer.concat(chunks) };
}

/** `bytes` in pieces of `sizes`, in turn. */
export function inPieces(bytes: Buffer, sizes: readonly number[]): Readable {
  const pieces = function* (): Generator<Buffer> {
    for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
      const size = sizes[turn % sizes.length] ?? 1;
      yield bytes.subarray(at, at + size);
      at += size;
    }
  };
  return Readable.from(pieces(), { objectMode: false });
}

/** The same envelope with its sealed payload in memory, read in pieces of `sizes`. */
export async function inChunks(source: EnvelopeSource, sizes: readonly number[]): Promise<EnvelopeSource> {
  const { payload } = source;
  if (payload.kind !== 'sealed') return source;
  const chunks: Buffer[] = [];
  for await (const chunk of payload.open()) chunks.push(Buffer.from(chunk));
  return sealedSource(source, Buffer.concat(chunks), sizes);
}

/** The same envelope around another sealed payload. */
export function sealedSource(
  source: EnvelopeSource,
  bytes: Buffer,
  sizes: readonly number[] = [65536],
): EnvelopeSource {
  return {
    ...source,
    payload: {
      kind: 'sealed',
      name: 'payload.encrypted',
      sizeBytes: bytes.length,
      open: (range) => {
        return inPieces(range === undefined ? bytes : bytes.subarray(range.start, range.end + 1), sizes);
      },
    },
  };
}

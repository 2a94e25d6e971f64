/**
 * Files as a conversion reads and writes them: synchronously, since it runs in a thread of its own, through one small
 * window, so that an instance of any size takes the same memory. Nothing here is durable: what a conversion writes is
 * made anew after a crash.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { GatewayError } from '../errors/gateway-error.js';

const WINDOW_BYTES = 64 * 1024;

/** The bytes of a file from some offset on, at random access. */
export class SourceFile {
  readonly sizeBytes: number;
  readonly #fd: number;
  readonly #base: number;
  readonly #window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  #windowOffset = 0;
  #windowBytes = 0;

  constructor(path: string, base = 0) {
    this.#fd = openSync(path, 'r');
    this.#base = base;
    this.sizeBytes = fstatSync(this.#fd).size - base;
  }

  /** Fewer bytes only where the file ends. Up to 64 KiB they are valid until the next read only. */
  read(offset: number, length: number): Buffer {
    const wanted = Math.max(0, Math.min(length, this.sizeBytes - offset));
    if (wanted > WINDOW_BYTES) {
      const bytes = Buffer.allocUnsafeSlow(wanted);
      return bytes.subarray(0, this.#fill(bytes, offset));
    }
    if (offset < this.#windowOffset || offset + wanted > this.#windowOffset + this.#windowBytes) {
      this.#windowBytes = this.#fill(this.#window, offset);
      this.#windowOffset = offset;
    }
    const at = offset - this.#windowOffset;
    return this.#window.subarray(at, Math.min(at + wanted, this.#windowBytes));
  }

  /** A value in pieces that are a multiple of eight bytes, but for the last. */
  *pieces(offset: number, length: number): Generator<Buffer> {
    for (let done = 0; done < length; ) {
      const piece = this.read(offset + done, Math.min(length - done, WINDOW_BYTES));
      if (piece.length === 0)
        throw new GatewayError('SPOOL_CORRUPT', 'a file became shorter while it was read');
      yield piece;
      done += piece.length;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  #fill(into: Buffer, offset: number): number {
    let filled = 0;
    while (filled < into.length) {
      const bytesRead = readSync(this.#fd, into, filled, into.length - filled, this.#base + offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }
}

/** A new file, written from the beginning to the end, in which lengths are filled in later. */
export class TargetFile {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  #buffered = 0;
  #flushed = 0;

  /** @throws EEXIST as it comes */
  constructor(path: string) {
    this.#fd = openSync(path, 'wx', 0o600);
  }

  get position(): number {
    return this.#flushed + this.#buffered;
  }

  write(bytes: Uint8Array): void {
    if (this.#buffered + bytes.length > WINDOW_BYTES) this.#flush();
    if (bytes.length > WINDOW_BYTES) {
      this.#writeAll(bytes, this.#flushed);
      this.#flushed += bytes.length;
      return;
    }
    this.#buffer.set(bytes, this.#buffered);
    this.#buffered += bytes.length;
  }

  /** Overwrites four bytes that were written before. */
  patchUint32(position: number, value: number): void {
    this.#flush();
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.#writeAll(bytes, position);
  }

  close(): void {
    try {
      this.#flush();
    } finally {
      closeSync(this.#fd);
    }
  }

  #flush(): void {
    this.#writeAll(this.#buffer.subarray(0, this.#buffered), this.#flushed);
    this.#flushed += this.#buffered;
    this.#buffered = 0;
  }

  #writeAll(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, position + done);
    }
  }
}

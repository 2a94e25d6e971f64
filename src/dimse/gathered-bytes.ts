/**
 * Bytes that come in pieces and are wanted whole, up to a bound. They are copied together as they come: a peer that
 * sends one byte at a time would otherwise cost us an object for each.
 */
const FIRST_BYTES = 1024;

export class GatheredBytes {
  readonly #maxBytes: number;
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** False when it would be more than the bound; what was gathered is let go then. */
  add(bytes: Buffer): boolean {
    const length = this.#length + bytes.length;
    if (length > this.#maxBytes) {
      this.#buffer = Buffer.alloc(0);
      this.#length = this.#maxBytes;
      return false;
    }
    if (length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#maxBytes, Math.max(FIRST_BYTES, 2 * length)));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    bytes.copy(this.#buffer, this.#length);
    this.#length = length;
    return true;
  }

  /** All of them, in order. Nothing is to be added afterwards. */
  whole(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }
}

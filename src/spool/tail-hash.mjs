/** The SHA-256 of a file from some place on, as its bytes come. Plain JavaScript, for threads. */
import { createHash } from 'node:crypto';

export class TailHash {
  /** Bytes that still come before what is hashed. */
  #skipped;
  #hash;

  /** @param {number} from where in the file that begins which is hashed */
  constructor(from, hash = createHash('sha256')) {
    this.#skipped = from;
    this.#hash = hash;
  }

  /** @param {Buffer} bytes the next of the file @returns {this} */
  update(bytes) {
    if (bytes.length > this.#skipped) this.#hash.update(bytes.subarray(this.#skipped));
    this.#skipped = Math.max(0, this.#skipped - bytes.length);
    return this;
  }

  /** Goes its own way from here on. */
  copy() {
    return new TailHash(this.#skipped, this.#hash.copy());
  }

  /** Lower hex. Nothing is to be added afterwards. @returns {string} */
  digest() {
    return this.#hash.digest('hex');
  }
}

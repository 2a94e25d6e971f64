/** The fields of items and sub-items in an A-ASSOCIATE PDU: big endian, in order, to the last byte. */
import { brokenItem, hex } from './associate-pdu.js';

/** Reads the fields of one item. Every method throws PDU_TOO_LARGE where the item is too short, or too long. */
export class ItemFields {
  readonly #type: number;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(type: number, bytes: Buffer) {
    this.#type = type;
    this.#bytes = bytes;
  }

  uint8(): number {
    return this.#take(1).readUInt8(0);
  }

  uint16(): number {
    return this.#take(2).readUInt16BE(0);
  }

  uint32(): number {
    return this.#take(4).readUInt32BE(0);
  }

  /** What stands behind its own 2-byte length. */
  counted(): Buffer {
    return this.#take(this.uint16());
  }

  rest(): Buffer {
    return this.#take(this.#bytes.length - this.#at);
  }

  isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Reads the item's last fields: nothing may be left behind them. */
  last<T>(read: (fields: ItemFields) => T): T {
    const value = read(this);
    if (!this.isAtEnd()) throw brokenItem(`item ${hex(this.#type)} is longer than its fields`);
    return value;
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw brokenItem(`item ${hex(this.#type)} is shorter than its fields`);
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}

/** Behind its own 2-byte length. */
export function counted(bytes: Buffer): Buffer {
  return Buffer.concat([uint16(bytes.length), bytes]);
}

export function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

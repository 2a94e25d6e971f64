/**
 * The socket that the library sees in place of the real one: what it writes goes out, what comes in is only what we
 * pass on. Timeouts and back-pressure of the real socket are ours.
 */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';

export class LibrarySocket extends EventEmitter {
  readonly #socket: Socket;
  readonly #outgoing: (bytes: Buffer) => Buffer;

  /** @param outgoing what is sent in place of what the library writes; each write is one PDU */
  constructor(socket: Socket, outgoing: (bytes: Buffer) => Buffer = (bytes) => bytes) {
    super();
    this.#socket = socket;
    this.#outgoing = outgoing;
  }

  /** Hands bytes to the library, as if they had just come in. */
  deliver(bytes: Buffer): void {
    this.emit('data', bytes);
  }

  write(bytes: Buffer): boolean {
    if (this.#socket.destroyed || this.#socket.writableEnded) return false;
    return this.#socket.write(this.#outgoing(bytes));
  }

  setTimeout(): this {
    return this;
  }

  end(): this {
    this.#socket.end();
    return this;
  }

  destroy(): this {
    this.#socket.destroy();
    return this;
  }

  /** What the library's constructors ask for. It uses no more of a socket than stands here. */
  asSocket(): Socket {
    return this as unknown as Socket;
  }
}

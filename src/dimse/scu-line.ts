/**
 * Turns on an association that we open: messages are never interleaved, and no more C-STOREs are outstanding than was
 * agreed. Where nothing stands in the way a turn begins within the call that asks for it, or within the one that makes
 * room: a PACS that has just answered waits for the next message, and every promise in between is time that it does nothing.
 */
type Turn = () => void;

export class ScuLine {
  readonly #window: () => number;
  /** The message that is being written; the next one waits. */
  #speaking: Promise<unknown> | undefined;
  #outstanding = 0;
  readonly #waiting: Turn[] = [];

  /** @param window operations that may be outstanding */
  constructor(window: () => number) {
    this.#window = window;
  }

  /** Writes a message when the one before has been written, or has failed. */
  async speak<T>(write: () => Promise<T>): Promise<T> {
    const turn = this.#speaking === undefined ? write() : this.#speaking.then(write);
    const over = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#speaking = over;
    try {
      return await turn;
    } finally {
      if (this.#speaking === over) this.#speaking = undefined;
    }
  }

  /** Begins an operation as soon as there is room for it. Each is to be ended by `leave`, whatever becomes of it. */
  enter<T>(begin: () => Promise<T>): Promise<T> {
    return new Promise((resolve) => {
      const turn = () => {
        this.#outstanding += 1;
        resolve(begin());
      };
      if (this.#outstanding < this.#window()) turn();
      else this.#waiting.push(turn);
    });
  }

  /** An operation is over: the next one begins. */
  leave(): void {
    this.#outstanding -= 1;
    this.#waiting.shift()?.();
  }
}

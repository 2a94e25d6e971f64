/** Instances that wait to be sent, shared by the associations of a study. */

export class StoreQueue<T> {
  #waiting: T[];
  #head = 0;

  constructor(items: readonly T[]) {
    this.#waiting = [...items];
  }

  get size(): number {
    return this.#waiting.length - this.#head;
  }

  take(): T | undefined {
    const item = this.#waiting[this.#head];
    if (item !== undefined) this.#head += 1;
    return item;
  }

  /** It is the next again. */
  putBack(item: T): void {
    if (this.#head > 0) {
      this.#head -= 1;
      this.#waiting[this.#head] = item;
    } else {
      this.#waiting.unshift(item);
    }
  }

  /**
   * Begins the given part of the way in. Instances over which a PACS stumbles often stand side by side; in the old
   * order they would use up all attempts, in every call anew, and nothing behind them would ever be sent.
   */
  rotate(part: number): void {
    const rest = this.#waiting.slice(this.#head);
    const at = Math.floor(rest.length * part);
    this.#waiting = [...rest.slice(at), ...rest.slice(0, at)];
    this.#head = 0;
  }
}

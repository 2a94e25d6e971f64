/** One timer for all that an association waits for: each progress puts it off, and it runs while something is awaited. */

export class Watchdog {
  readonly #expired: (what: string) => void;
  #timer: NodeJS.Timeout | undefined;
  #waits = 0;

  /** @param expired called once, with what was awaited and for how long */
  constructor(expired: (what: string) => void) {
    this.#expired = expired;
  }

  get isIdle(): boolean {
    return this.#waits === 0;
  }

  /** Something is awaited from now on; the bound of what was awaited first counts for all. */
  begin(timeoutMs: number, missing: string): void {
    this.#waits += 1;
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#expired(`${missing} within ${timeoutMs} ms`), timeoutMs);
  }

  progress(): void {
    this.#timer?.refresh();
  }

  /** One thing less is awaited. */
  end(): void {
    this.#waits -= 1;
    if (this.#waits > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

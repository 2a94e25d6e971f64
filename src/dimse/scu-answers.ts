/** Answers that an association waits for, matched by message id in whatever order they come (PS3.7 §9.1.1.1). */
import type { CommandSet } from './command-set.js';

interface Awaited {
  resolve(answer: CommandSet): void;
  reject(error: unknown): void;
  readonly arrived: () => void;
}

const MAX_MESSAGE_ID = 65_535;

export class ScuAnswers {
  readonly #awaited = new Map<number, Awaited>();
  #lastMessageId = 0;
  #count = 0;

  /** Answers that came so far. */
  get count(): number {
    return this.#count;
  }

  /** 1 to 65 535, none that still waits for its answer. */
  nextMessageId(): number {
    do this.#lastMessageId = (this.#lastMessageId % MAX_MESSAGE_ID) + 1;
    while (this.#awaited.has(this.#lastMessageId));
    return this.#lastMessageId;
  }

  /** @param arrived called at once when the answer is there, or will not come: before whoever awaits it goes on */
  awaitAnswer(messageId: number, arrived: () => void): Promise<CommandSet> {
    const answer = new Promise<CommandSet>((resolve, reject) => {
      this.#awaited.set(messageId, { resolve, reject, arrived });
    });
    // Whoever awaits it may still be writing.
    answer.catch(() => undefined);
    return answer;
  }

  /** Takes an answer. @returns false when nothing of that id was asked */
  take(messageId: number, answer: CommandSet): boolean {
    const awaited = this.#awaited.get(messageId);
    if (awaited === undefined) return false;
    this.#awaited.delete(messageId);
    this.#count += 1;
    awaited.resolve(answer);
    awaited.arrived();
    return true;
  }

  /** None of them will come any more. */
  fail(error: unknown): void {
    const lost = [...this.#awaited.values()];
    this.#awaited.clear();
    for (const { reject, arrived } of lost) {
      reject(error);
      arrived();
    }
  }
}

/** Where the data set of one request goes, and the answer that comes of it. */

/** What answers a request, besides what every response repeats of it. */
export interface Answer {
  readonly status: number;
  /** Error Comment (0000,0902); at most 64 characters are sent. */
  readonly comment?: string;
}

/** A request's lane. After `write`s, exactly one of `end` and `discard` is called. None of them throws, or rejects. */
export interface DataSetLane {
  /** Takes bytes, which stay as they are until it returns, or what it returns has resolved: then come the next ones. */
  write(bytes: Buffer): Promise<void> | undefined;
  /** The data set is whole, or there was none. */
  end(): Promise<Answer>;
  /** The association ended in the middle. */
  discard(): Promise<void>;
}

/** The lane of a request whose answer is known: its data set is read to its end, and dropped. */
export function answeringLane(answer: Answer): DataSetLane {
  return {
    write: () => undefined,
    end: () => Promise.resolve(answer),
    discard: () => Promise.resolve(),
  };
}

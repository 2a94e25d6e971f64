/** Where bytes lie in the reception log. */

/** Bytes in the reception log, and zeros behind them up to the next block. */
export interface LogPiece {
  readonly file: number;
  /** In the log's file. */
  readonly at: number;
  readonly bytes: number;
  /** CRC-32 of the bytes. */
  readonly crc: number;
}

/** Without what it may have besides, to cross to a thread. */
export function plainPiece({ file, at, bytes, crc }: LogPiece): LogPiece {
  return { file, at, bytes, crc };
}

/** Types of log-record.mjs, which says what a record is. */
export const EPOCH_BYTES: number;
export function recordBytes(dataBytes: number): number;
export function beginRecord(record: Buffer, epoch: Buffer, text: Buffer, dataBytes: number): void;
export function completeRecord(record: Buffer): void;
export function dataCrcOf(record: Buffer): number;
export function readRecordHead(block: Buffer):
  | {
      /** Lower hex. */
      readonly epoch: string;
      readonly dataBytes: number;
      readonly dataCrc: number;
      readonly text: string;
    }
  | undefined;

/**
 * What all files being written hold in memory together. While it is little, each gathers large pieces before it writes;
 * when it is much, whoever comes with more is made to wait for the disk, however many there are.
 */
export interface StagingMemory {
  hold(bytes: number): void;
  release(bytes: number): void;
  /** Hold no more before something is written. */
  isScarce(): boolean;
}

export function createStagingMemory(maxBytes: number): StagingMemory {
  let held = 0;
  return {
    hold(bytes) {
      held += bytes;
    },
    release(bytes) {
      held -= bytes;
    },
    isScarce: () => held > maxBytes,
  };
}

/** Files staged in a folder by another thread, which hashes them on the way; many small ones cross to it at once. */
import { SLAB_BYTES, startThreadJob, type ThreadJob, type WritePiece } from './payload-thread.js';
import type { StagingPlace } from './sink-place.js';

/** Tiny files cost more in the message than in the slab. */
const MAX_PIECES = 1024;

/** Files get mode 0600, their folders 0700; a file that is there already is an error (EEXIST). */
export function createFolderPlace(folder: string): StagingPlace {
  let job: ThreadJob | undefined;
  /** Slabs that nothing lies in. */
  let free: number[] = [];
  /** Slabs that the thread has not given back. */
  let sent = 0;
  /** The slab that is being filled. */
  let slab: number | undefined;
  let filled = 0;
  let pieces: WritePiece[] = [];
  /** Of the files that the thread has not ended, in their order. */
  const hashNotes: ((sha256: string) => void)[] = [];

  const started = (): ThreadJob => {
    if (job === undefined) {
      job = startThreadJob({ kind: 'write', folder });
      free = job.slabs.map((_, index) => index);
    }
    return job;
  };

  const takeReply = async (): Promise<void> => {
    const { slab: given, hashes = [] } = await started().reply();
    sent -= 1;
    if (given !== undefined) free.push(given);
    for (const sha256 of hashes) hashNotes.shift()?.(sha256);
  };

  const freeSlab = async (): Promise<number> => {
    started();
    for (;;) {
      const next = free.pop();
      if (next !== undefined) return next;
      await takeReply();
    }
  };

  const send = (): void => {
    if (slab === undefined) return;
    started().post({ slab, pieces });
    sent += 1;
    slab = undefined;
    filled = 0;
    pieces = [];
  };

  const note = async (piece: WritePiece): Promise<void> => {
    slab ??= await freeSlab();
    pieces.push(piece);
    filled += piece.sizeBytes;
    if (filled === SLAB_BYTES || pieces.length >= MAX_PIECES) send();
  };

  return {
    copies: true,
    async put(name, _sizeBytes, body, noteHash) {
      hashNotes.push(noteHash);
      await note({ name, sizeBytes: 0 });
      for await (const chunk of body) {
        for (let at = 0; at < chunk.length; ) {
          slab ??= await freeSlab();
          const copied = chunk.copy(started().slabs[slab] ?? chunk, filled, at);
          at += copied;
          await note({ sizeBytes: copied });
        }
      }
      await note({ sizeBytes: 0, isLast: true });
    },
    async settle() {
      try {
        send();
        while (sent > 0) await takeReply();
      } finally {
        await job?.end();
      }
    },
    abandon: async () => job?.end(),
  };
}

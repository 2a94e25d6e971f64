/**
 * Lists what waits in a shared folder. People copy by hand, and a file that is being copied has its final name from the
 * start, often its final size as well, and sometimes the times of the original. So no clock is compared with another:
 * a file counts as whole when two looks at it, far enough apart by our own clock, have found it the same.
 */
import type { Stats } from 'node:fs';
import { join } from 'node:path';
import type { EnvelopeId } from '../../domain/envelope-id.js';
import type { WaitingEnvelope } from '../transport.js';
import { exchangeEntries, fileAt } from './place.js';

/** What is remembered between two listings. */
export interface Settling {
  /** Tells which of the files seen now have been the same for long enough; those not seen any more are forgotten. */
  settled(seen: ReadonlyMap<EnvelopeId, Stats>): ReadonlySet<EnvelopeId>;
}

/** @param settleMs 0 for files that are whole at first sight @param now milliseconds that only go forward */
export function createSettling(settleMs: number, now: () => number): Settling {
  let known = new Map<EnvelopeId, { readonly look: string; readonly sinceMs: number }>();
  return {
    settled(seen) {
      const atMs = now();
      const next: typeof known = new Map();
      const whole = new Set<EnvelopeId>();
      for (const [id, found] of seen) {
        const look = lookOf(found);
        const before = known.get(id);
        const sinceMs = before?.look === look ? before.sinceMs : atMs;
        next.set(id, { look, sinceMs });
        if (atMs - sinceMs >= settleMs) whole.add(id);
      }
      known = next;
      return whole;
    },
  };
}

/**
 * With the blocks, which grow while a file whose size was set in advance is filled; without the inode, whose number FAT
 * makes up anew whenever the system has forgotten it.
 */
function lookOf({ size, mtimeMs, ctimeMs, blocks }: Stats): string {
  return [size, mtimeMs, ctimeMs, blocks].join();
}

/** What this bridge has claimed comes first, then what waits, by the time at which it got its name. */
export async function listFolder(
  folder: string,
  claimer: string,
  settling: Settling,
): Promise<readonly WaitingEnvelope[]> {
  const claims = new Map<EnvelopeId, Stats>();
  const waiting = new Map<EnvelopeId, Stats>();
  for (const entry of await exchangeEntries(folder)) {
    const own = entry.state === 'claimed' && entry.claimer === claimer;
    if (!own && entry.state !== 'waiting') continue;
    const found = await fileAt(join(folder, entry.name));
    if (found !== undefined) (own ? claims : waiting).set(entry.id, found);
  }
  const whole = settling.settled(waiting);
  const ready = [...waiting].filter(([id]) => whole.has(id) && !claims.has(id));
  return [...inOrder([...claims]), ...inOrder(ready)].map(([id, { size }]) => ({ id, sizeBytes: size }));
}

function inOrder(
  files: readonly (readonly [EnvelopeId, Stats])[],
): readonly (readonly [EnvelopeId, Stats])[] {
  return [...files].sort(([a, one], [b, two]) => one.ctimeMs - two.ctimeMs || (a < b ? -1 : 1));
}

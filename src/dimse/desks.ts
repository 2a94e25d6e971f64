/**
 * Memory for instances on their way out: taken for an association, given back, and used again, since its addresses are
 * dear and its pages, once they were touched, are not.
 */
import { ownAlignedMemory } from '../disk/uncached.mjs';
import { Frame } from './pdata-writer.js';

/** A CT slice of 512 × 512 is read at once; many short ones leave most of it untouched. */
const READ_BYTES = 1024 * 1024;
/** One instance goes out while two are made ready: what a disk takes longer for, now and then, holds up nobody. */
const DESKS = 3;

/** For one instance at a time. */
export interface Desk {
  /** Where its source is read to: whole blocks, from the boundary of one on. */
  readonly into: Buffer;
  readonly frame: Frame;
}

/** As many sets as were ever in use at once. */
const free: (readonly Desk[])[] = [];

/** For one association. */
export function takeDesks(): readonly Desk[] {
  const taken = free.pop();
  if (taken !== undefined) return taken;
  const memory = ownAlignedMemory(DESKS * READ_BYTES);
  return Array.from({ length: DESKS }, (_, index) => ({
    into: Buffer.from(memory, index * READ_BYTES, READ_BYTES),
    frame: new Frame(),
  }));
}

/**
 * Nothing is read into them any more.
 * @param isSettled all that was written from them has been taken; what a broken association still holds on to must stay
 * as it is, or the peer would get the bytes of another instance
 */
export function giveDesks(desks: readonly Desk[], isSettled: boolean): void {
  free.push(isSettled ? desks : desks.map(({ into }) => ({ into, frame: new Frame() })));
}

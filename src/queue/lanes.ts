/**
 * Places by lane: one peer or PACS that is slow or dead takes only its own places, never all of a worker's.
 * Counted in each worker process; it keeps others from starving, it is not a limit on the peer.
 */

/** The peer or PACS that an id is for; undefined when it is for none, or not known. */
export type LaneOf = (id: string) => string | undefined | Promise<string | undefined>;

export interface Lanes {
  /** Takes a place and gives the function that frees it; undefined when the lane is full. */
  enter(id: string): Promise<(() => void) | undefined>;
}

/** @param perLane places for each lane, 1 or more */
export function createLanes(perLane: number, laneOf: LaneOf | undefined): Lanes {
  const taken = new Map<string, number>();
  return {
    async enter(id) {
      const lane = await laneOf?.(id);
      if (lane === undefined) return () => {};
      const count = taken.get(lane) ?? 0;
      if (count >= perLane) return undefined;
      taken.set(lane, count + 1);
      return () => {
        const left = (taken.get(lane) ?? 1) - 1;
        if (left === 0) taken.delete(lane);
        else taken.set(lane, left);
      };
    },
  };
}

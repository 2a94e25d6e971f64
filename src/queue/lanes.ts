/**
 * Places by lane: one peer or PACS that is slow or dead takes only its own places, never all of a worker's; and who
 * is urgent goes first. Counted in each worker process; it keeps others from starving, it is not a limit on the peer.
 *
 * - A lane has `places` places, and one more for `stat`: an urgent study never waits behind a large transfer.
 * - A lane whose peer could not be reached has one place (and that one more) until something in it succeeds.
 * - The last quarter of the worker's places is for lanes that have none yet, and the very last one for `stat`.
 * - A job that finds no place is turned away and remembered (lane-crowd.ts). As soon as a place is free, the one that
 *   goes first is called back and the place kept for it; nobody less urgent gets it.
 *
 * So a free place is idle, while somebody waits for it, no longer than Redis takes to hand a called job to a worker:
 * milliseconds. Where several processes share the queue, another one may take the called job and turn it away; the
 * call is repeated every 0.1 s until ours has it. What only another process has turned away cannot be called by ours.
 *
 * Nobody is called into the lane of a peer that cannot be reached, nor is who was not remembered. They come by
 * themselves: an urgent one every second; of the others the first after 2 s and each further one 0.2 s behind, a crowd
 * above 290 within a minute. So whatever its size a crowd tries a free place within 2 s (0.2 s when it is 10 or more),
 * and asks Redis 5 times a second, not once for each job: 10 000 jobs of a dead peer ask some 220 times.
 */
import { comparePriority, type Priority } from '../domain/priority.js';
import { CALL_MS, LaneCrowd, type WaitingJob } from './lane-crowd.js';

/** Of a worker with fewer places none is kept free. */
const FEWEST_PLACES_TO_SHARE = 3;
const KEPT_FOR_NEW_LANES = 1 / 4;
/** So many calls in vain (removed, done by another process) in a row are enough; the rest come by themselves. */
const MOST_CALLS_IN_VAIN = 50;

export interface Lane {
  /** The peer or PACS. */
  readonly name: string;
  /** Instead of the policy's, 1 or more. */
  readonly places?: number;
  /** How urgent the job is that was asked for; as the job itself says when absent. */
  readonly priority?: Priority;
}

/** The lane that a job with this id is for; undefined when it is for none, or not known. */
export type LaneOf = (id: string) => Lane | undefined | Promise<Lane | undefined>;

/** How the step went: `unreachable` when its peer or PACS could not be reached at all. */
export type StepEnd = 'succeeded' | 'unreachable' | 'other';

export type Entry =
  /** `leave` frees the place; to be called once. */
  | { readonly type: 'entered'; leave(end: StepEnd): void }
  /** `wentBack` is to be called when the job is back in Redis; before that nobody could call it. */
  | { readonly type: 'turned-away'; readonly comesBackAtMs: number; wentBack(): void };

export interface ArrivingJob {
  readonly jobId: string;
  /** As in its data. */
  readonly id: string;
  readonly priority: Priority;
}

export interface LanesOptions {
  /** Places for each lane, 1 or more. */
  readonly perLane: number;
  /** Places of the worker, 1 or more. */
  readonly total: number;
  readonly laneOf: LaneOf | undefined;
  /** Lets a job that was turned away come at once. @returns false when it does not wait any more */
  readonly call: (jobId: string) => Promise<boolean>;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

export interface Lanes {
  /** Takes a place for a job, or says when it must come back. Throws what `laneOf` throws. */
  enter(job: ArrivingJob): Promise<Entry>;
}

interface LaneState {
  places: number;
  taken: number;
  isUnreachable: boolean;
  readonly crowd: LaneCrowd;
}

/** Nobody is in any lane yet. */
export function createLanes(options: LanesOptions): Lanes {
  const { perLane, total, laneOf } = options;
  const now = options.now ?? Date.now;
  const lanes = new Map<string, LaneState>();
  let occupied = 0;
  let turnedAway = 0;

  const keptForStat = total < FEWEST_PLACES_TO_SHARE ? 0 : 1;
  const keptForNewLanes = Math.max(keptForStat, Math.floor(total * KEPT_FOR_NEW_LANES));

  const stateOf = (lane: Lane): LaneState => {
    let state = lanes.get(lane.name);
    if (state === undefined) {
      state = { places: perLane, taken: 0, isUnreachable: false, crowd: new LaneCrowd() };
      lanes.set(lane.name, state);
    }
    state.places = Math.max(1, lane.places ?? perLane);
    return state;
  };

  /** Whether one more may come in where so many are, or are on their way. */
  const isRoom = (lane: LaneState, priority: Priority, inLane: number, inWorker: number): boolean => {
    const isStat = priority === 'stat';
    const places = (lane.isUnreachable ? 1 : lane.places) + (isStat ? 1 : 0);
    const kept = isStat ? 0 : inLane === 0 ? keptForStat : keptForNewLanes;
    return inLane < places && inWorker < total - kept;
  };

  const calledInWorker = (priority: Priority): number => {
    let count = 0;
    for (const { crowd } of lanes.values()) count += crowd.calledUpTo(priority, now());
    return count;
  };

  const mayEnter = (lane: LaneState, jobId: string, priority: Priority): boolean => {
    const { crowd, taken } = lane;
    if (crowd.isCalled(jobId, now())) return isRoom(lane, priority, taken, occupied);
    const first = crowd.first(now());
    if (first !== undefined && comparePriority(first.priority, priority) < 0) return false;
    const called = crowd.calledUpTo(priority, now());
    return isRoom(lane, priority, taken + called, occupied + calledInWorker(priority));
  };

  /** Of all that wait and would find a place, the one that goes first. */
  const nextToCall = (): { lane: LaneState; job: WaitingJob } | undefined => {
    const inWorker = occupied + calledInWorker('low');
    let next: { lane: LaneState; job: WaitingJob } | undefined;
    for (const lane of lanes.values()) {
      // Nobody is in a hurry to learn once more that this peer is dead.
      if (lane.isUnreachable) continue;
      const job = lane.crowd.first(now());
      if (job === undefined || (next !== undefined && !goesBefore(job, next.job))) continue;
      const inLane = lane.taken + lane.crowd.calledUpTo('low', now());
      if (isRoom(lane, job.priority, inLane, inWorker)) next = { lane, job };
    }
    return next;
  };

  const callIn = (triesLeft: number): void => {
    if (triesLeft === 0) return;
    for (let next = nextToCall(); next !== undefined; next = nextToCall()) {
      const { lane, job } = next;
      lane.crowd.call(job, now());
      void options.call(job.jobId).then(
        (isComing) => {
          if (isComing) {
            // Should another process have taken it, and turned it away, then once more.
            setTimeout(() => callIn(MOST_CALLS_IN_VAIN), CALL_MS).unref();
          } else {
            lane.crowd.forget(job.jobId);
            callIn(triesLeft - 1);
          }
        },
        // Redis is away; who waits comes by itself when it is back.
        () => {},
      );
    }
  };

  const leave = (name: string, lane: LaneState, end: StepEnd): void => {
    occupied -= 1;
    lane.taken -= 1;
    if (end !== 'other') lane.isUnreachable = end === 'unreachable';
    if (lane.taken === 0 && !lane.isUnreachable && lane.crowd.isEmpty()) lanes.delete(name);
    callIn(MOST_CALLS_IN_VAIN);
  };

  const enterWithoutLane = (): Entry => {
    occupied += 1;
    return {
      type: 'entered',
      leave() {
        occupied -= 1;
        callIn(MOST_CALLS_IN_VAIN);
      },
    };
  };

  return {
    async enter(job) {
      const found = await laneOf?.(job.id);
      if (found === undefined) return enterWithoutLane();
      const lane = stateOf(found);
      const { jobId } = job;
      const priority = found.priority ?? job.priority;
      if (mayEnter(lane, jobId, priority)) {
        lane.crowd.forget(jobId);
        occupied += 1;
        lane.taken += 1;
        callIn(MOST_CALLS_IN_VAIN);
        return { type: 'entered', leave: (end) => leave(found.name, lane, end) };
      }
      turnedAway += 1;
      const waiting = { jobId, priority, since: turnedAway };
      const nowMs = now();
      return {
        type: 'turned-away',
        comesBackAtMs: nowMs + lane.crowd.turnAway(waiting, nowMs),
        wentBack() {
          lane.crowd.wentBack(waiting);
          callIn(MOST_CALLS_IN_VAIN);
        },
      };
    },
  };
}

function goesBefore(a: WaitingJob, b: WaitingJob): boolean {
  const order = comparePriority(a.priority, b.priority);
  return order < 0 || (order === 0 && a.since < b.since);
}

/** What modalities have asked and do not know yet, summed up for people. */
import type { CommitmentRequest } from '../domain/commitment-request.js';
import type { CommitmentView } from '../http/commitment-ports.js';

/** Told within seconds where all is well: until then it is no news. */
const UNTOLD_AFTER_MS = 60_000;

/** @param open requests that have not come to their end */
export function viewCommitment(open: readonly CommitmentRequest[], nowMs: number): CommitmentView {
  const untold = new Map<string, CommitmentRequest[]>();
  for (const request of open) {
    if (request.progress !== 'judged' || nowMs - judgedAtMs(request) < UNTOLD_AFTER_MS) continue;
    const others = untold.get(request.callingAe);
    if (others === undefined) untold.set(request.callingAe, [request]);
    else others.push(request);
  }
  return {
    undecidedCount: open.filter(({ progress }) => progress === 'asked').length,
    untold: [...untold].map(([callingAe, requests]) => {
      const message = requests.find(({ lastError }) => lastError !== undefined)?.lastError?.message;
      return {
        callingAe,
        requestCount: requests.length,
        sinceMs: requests.reduce((first, request) => Math.min(first, judgedAtMs(request)), nowMs),
        ...(message === undefined ? {} : { message }),
      };
    }),
  };
}

function judgedAtMs({ judgedAtMs: atMs, askedAtMs }: CommitmentRequest): number {
  return atMs ?? askedAtMs;
}

/**
 * The folder transport: a USB disk, an SMB share, or whatever else two bridges can both see as a folder. Names are
 * those of exchange-names.ts; files of other people are neither read nor touched. It says nothing about who may write
 * there: an envelope proves by its own signature where it comes from.
 */
import { GatewayError } from '../../errors/gateway-error.js';
import type { Transport } from '../transport.js';
import { classifyFolderError } from './classify.js';
import { createSettling, listFolder } from './list.js';
import { createPlace, type Place } from './place.js';
import { markOf, probeFolder } from './probe.js';
import { putIntoFolder } from './put.js';
import { endClaim, takeFromFolder } from './take.js';

export interface FolderOptions {
  /** Absolute path that envelopes are put into; without it, nothing is. Never made here. */
  readonly outbox?: string;
  /** Absolute path that envelopes are taken from; without it, nothing is. Never made here. */
  readonly inbox?: string;
  /** What becomes of an envelope that was taken: removed, or moved into `done` below the inbox. */
  readonly afterTaking: 'delete' | 'move';
  /** Tells the bridges apart that empty one inbox: 8 to 32 lower hex digits, the same after a restart. */
  readonly claimer: string;
  /** How long a file must have stayed the same before it is listed, in milliseconds; 0 lists it at once. */
  readonly settleMs: number;
  /** Milliseconds that only go forward; those of the process by default. */
  readonly now?: () => number;
}

/**
 * A folder can tell nobody that something has come: `list` answers at once, whatever its `waitMs`. A file is listed by
 * the second listing at the earliest, unless `settleMs` is 0.
 */
export function createFolderTransport(options: FolderOptions): Transport {
  const outbox = options.outbox === undefined ? undefined : createPlace(options.outbox, 'outbox');
  const inbox = options.inbox === undefined ? undefined : createPlace(options.inbox, 'inbox');
  const settling = createSettling(options.settleMs, options.now ?? (() => performance.now()));

  return {
    put: (envelope, putting) =>
      inside(outbox, putting.signal, (folder) => putIntoFolder(folder, envelope, putting)),
    probe: (envelope, signal) =>
      inside(outbox, signal, async (folder) => probeFolder(folder, envelope, () => markOf(envelope))),
    list: ({ signal }) => inside(inbox, signal, (folder) => listFolder(folder, options.claimer, settling)),
    take: (envelope, file, taking) =>
      inside(inbox, taking.signal, (folder) =>
        takeFromFolder(folder, options.claimer, envelope, file, taking),
      ),
    acknowledge: (id, outcome, signal) =>
      inside(inbox, signal, (folder) =>
        endClaim(folder, options.claimer, id, outcome === 'refused' ? 'refuse' : options.afterTaking),
      ),
    close: () => undefined,
  };
}

/** Every use of a folder: it is there, and whatever fails in it is ours. */
async function inside<T>(
  place: Place | undefined,
  signal: AbortSignal,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  if (place === undefined) {
    throw new GatewayError('PEER_REFUSED', 'the peer has no folder for this direction in the config');
  }
  await place.enter(signal);
  try {
    return await use(place.path);
  } catch (error) {
    throw classifyFolderError(error, signal);
  }
}

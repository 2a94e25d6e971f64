/** Free space on the data disk against two watermarks: below the first one warns, below the second nothing is taken. */
import { statfs } from 'node:fs/promises';
import { GatewayError } from '../errors/gateway-error.js';

/** How often one looks: until the next time, the fastest sender fills less than half of what is kept free by default. */
export const SPACE_EVERY_MS = 1_000;

export interface Space {
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly state: 'ok' | 'low' | 'refusing';
}

export interface Watermarks {
  readonly warnFreeBytes: number;
  readonly refuseFreeBytes: number;
}

/** Space that we may use, not what is reserved for root. */
export async function measureSpace(dataDir: string, watermarks: Watermarks): Promise<Space> {
  const { bavail, blocks, bsize } = await statfs(dataDir);
  const freeBytes = bavail * bsize;
  return { freeBytes, totalBytes: blocks * bsize, state: judge(freeBytes, watermarks) };
}

/** The refusal for whoever brings something new while the disk is nearly full. */
export function spaceRefusal(space: Space): GatewayError | undefined {
  return space.state === 'refusing'
    ? new GatewayError('SPOOL_ABOVE_WATERMARK', `the data disk has only ${space.freeBytes} bytes left`)
    : undefined;
}

function judge(freeBytes: number, { warnFreeBytes, refuseFreeBytes }: Watermarks): Space['state'] {
  if (freeBytes < refuseFreeBytes) return 'refusing';
  return freeBytes < warnFreeBytes ? 'low' : 'ok';
}

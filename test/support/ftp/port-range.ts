/** Ports of the loopback that lie side by side, as FTP servers want them for passive mode. */
import { freePort, isListening } from '../ports.js';

/** @returns `count` ports, ascending, on which nobody listened a moment ago */
export async function freePortRange(count: number): Promise<readonly number[]> {
  for (;;) {
    const first = await freePort();
    const range = Array.from({ length: count }, (_, index) => first + index);
    const taken = await Promise.all(range.map(isListening));
    if (!taken.includes(true)) return range;
  }
}

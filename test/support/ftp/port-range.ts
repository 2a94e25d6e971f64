/** Ports of the loopback that lie side by side, as FTP servers want them for passive mode. */
import { freePorts } from '../ports.js';

/** @returns `count` ports, ascending, on which nobody listened a moment ago */
export function freePortRange(count: number): Promise<readonly number[]> {
  return freePorts(count);
}

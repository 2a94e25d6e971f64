/** When V8 optimizes code: for a process that takes studies in, which come in bursts, and soon after it was started. */
import { setFlagsFromString } from 'node:v8';

/** Bytes of bytecode that a function runs through between two looks at whether it is hot; 66 KiB by default. */
const INTERRUPT_BUDGET = 600_000;

/**
 * The optimizing compiler of Node 20 takes almost everything that one study has run through, in four threads beside those
 * that receive the study, and a third of the processor with it. What is hot for longer is compiled all the same. Later
 * versions go by way of a cheaper compiler first, and have no such number.
 */
export function compileLater(): void {
  if (process.versions.v8.startsWith('11.')) setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`);
}

/** Runs the command of this process's arguments; what `scripts/drawbridge.mjs` does after it has set up. */
import { main } from './main.js';

/** For what is being closed. */
const EXIT_GRACE_MS = 1_000;

process.exitCode = await main(process.argv.slice(2));
// What a start that failed has left open, as connections that are made again and again, shall not keep the process.
if (process.exitCode !== 0) setTimeout(() => process.exit(), EXIT_GRACE_MS).unref();

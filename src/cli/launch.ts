/** Runs the command of this process's arguments; what `scripts/drawbridge.mjs` does after it has set up. */
import { main } from './main.js';

process.exitCode = await main(process.argv.slice(2));

/** A worker process that `drawbridge up` has started. Stops on SIGTERM, and with its supervisor. */
import { runWorker } from '../src/compose/run-worker.js';
import { parseRuntime, RUNTIME_VARIABLE } from '../src/compose/runtime.js';
import { GatewayError } from '../src/errors/gateway-error.js';

const runtime = parseRuntime(process.env[RUNTIME_VARIABLE]);
if (runtime === undefined) throw new GatewayError('FAULT', `${RUNTIME_VARIABLE} is not set`);
await runWorker(runtime, (stage) => new URL(`./${stage}.js`, import.meta.url));
process.exit(0);

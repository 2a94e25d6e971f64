#!/usr/bin/env -S node --max-semi-space-size=2
/**
 * The `drawbridge` command: sets up what is missing, then hands over to src/cli/launch.ts. Bytes that pass through wait for
 * the young generation to be collected; where that may grow to many megabytes, so does what waits. V8 must be told at its start.
 */
import { launch, setUp } from './setup.mjs';

await launch(async () => {
  await setUp();
  await import('../dist/src/cli/launch.js');
  return process.exitCode;
});

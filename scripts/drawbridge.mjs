#!/usr/bin/env node
/** The `drawbridge` command: sets up what is missing, then hands over to src/cli/main.ts. */
import { launch, setUp } from './setup.mjs';

await launch(async () => {
  await setUp();
  const { main } = await import('../dist/src/cli/main.js');
  return main(process.argv.slice(2));
});

/** `npm run demo`: sets up what is missing, then hands over to src/demo/main.ts. */
import { launch, setUp } from './setup.mjs';

await launch(async () => {
  await setUp();
  const { main } = await import('../dist/src/demo/main.js');
  return main(process.argv.slice(2));
});

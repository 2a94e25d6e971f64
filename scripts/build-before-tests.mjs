/** What vitest runs once before all tests: the programs of dist/ must be those of src/. */
import { ensureBuild } from './setup.mjs';

export async function setup() {
  const skip = process.env.DRAWBRIDGE_SKIP_BUILD === '1';
  // The bridge refuses to start with a DRAWBRIDGE_ variable that is no setting, and tests start bridges.
  delete process.env.DRAWBRIDGE_SKIP_BUILD;
  if (!skip) await ensureBuild();
}

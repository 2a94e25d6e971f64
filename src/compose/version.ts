/** The version of this program, from its package.json. */
import { readFileSync } from 'node:fs';

export const DRAWBRIDGE_VERSION: string = readVersion();

/** The file lies two folders up in the sources, three in the build. */
function readVersion(): string {
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const document = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as { version: string };
      return document.version;
    } catch {
      // Not here.
    }
  }
  return 'unknown';
}

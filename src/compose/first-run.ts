/** The first run: a commented config, the site's keys, a password. What exists is left as it is. */
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import type { Environment } from '../config/environment.js';
import { loadSettings } from '../config/load.js';
import type { Settings } from '../config/settings.js';
import { formatConfigTemplate } from '../config/template.js';
import type { Site } from '../domain/site.js';
import { createFileDurably } from '../spool/atomic.js';
import { createSpool } from '../spool/envelope-store.js';
import { createLayout } from '../spool/layout.js';
import { ensureSiteKeys } from '../trust/site-keys.js';
import { ensureDashboardPassword } from './dashboard-auth.js';
import { KEY_DISK } from './key-disk.js';

export interface FirstRun {
  readonly settings: Settings;
  /** What was made just now; empty at every later run. */
  readonly made: readonly string[];
  /** Shown once. */
  readonly password?: string;
}

/**
 * Makes whatever is missing; safe to repeat.
 * @throws CONFIG_INVALID when the config that is there has errors
 */
export async function ensureSite(
  configPath: string,
  environment: Environment,
  site: Partial<Site> = {},
): Promise<FirstRun> {
  await mkdir(dirname(configPath), { recursive: true });
  const written = await createFileDurably(
    configPath,
    formatConfigTemplate({ site: { ...defaultSite(), ...site } }),
  );
  const settings = loadSettings(configPath, environment);
  const layout = createLayout(settings.dataDir);
  await createSpool(layout);
  const keys = await ensureSiteKeys(layout.keys, settings, KEY_DISK, Date.now());
  const password = await ensureDashboardPassword(layout.keys);
  return {
    settings,
    made: [...(written ? [configPath] : []), ...keys],
    ...(password === undefined ? {} : { password }),
  };
}

function defaultSite(): Site {
  const id = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 60);
  return { id: id === '' ? 'site' : id, name: `Drawbridge on ${hostname()}`, contact: 'unknown' };
}

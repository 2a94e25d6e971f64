/** The keys folder of a site, as `init` makes it, and what happens to it. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KEY_DISK } from '../../../../src/compose/key-disk.js';
import { type Settings, settingsSchema } from '../../../../src/config/settings.js';
import { type ChangeContext, rotateKeys } from '../../../../src/trust/key-change.js';
import { passphraseFrom } from '../../../../src/trust/key-encryption.js';
import type { KeyPurpose } from '../../../../src/trust/key-files.js';
import type { KeyRing } from '../../../../src/trust/key-ring.js';
import {
  changeKeys,
  type KeyChange,
  type KeyDisk,
  type KeyFolder,
  type LoadedKeys,
} from '../../../../src/trust/key-store.js';
import { ensureSiteKeys, readSiteKeys, type SiteKeys } from '../../../../src/trust/site-keys.js';

export const DAY_MS = 24 * 3_600_000;
export const NOW = Date.parse('2026-11-21T12:00:00Z');
export const BOTH: readonly KeyPurpose[] = ['encryption', 'signing'];

export interface TestKeys {
  readonly folder: KeyFolder;
  readonly settings: Settings;
  /** What the clock of `read` shows. */
  readonly time: { ms: number };
  /** As `up` does at each start. */
  ensure(disk?: KeyDisk): Promise<readonly string[]>;
  read(): Promise<SiteKeys>;
  change(plan: (loaded: LoadedKeys) => KeyChange | undefined, disk?: KeyDisk): Promise<KeyRing>;
  rotate(purposes?: readonly KeyPurpose[], disk?: KeyDisk): Promise<KeyRing>;
  context(): ChangeContext;
}

/** @param path of a folder that is there; a new one by default */
export async function makeKeys(passphrase?: string, path?: string): Promise<TestKeys> {
  const place = path ?? (await mkdtemp(join(tmpdir(), 'drawbridge-keys-')));
  const passphraseFile = `${place}.passphrase`;
  if (passphrase !== undefined) await writeFile(passphraseFile, passphrase, { mode: 0o600 });
  const settings = settingsSchema.parse({
    site: { id: 'site-a', name: 'Hospital A', contact: 'pacs@a.example' },
    keys: { ...(passphrase === undefined ? {} : { passphraseFile }), overlapDays: 30 },
  });
  const folder = { path: place, passphrase: passphraseFrom(settings.keys) };
  const time = { ms: NOW };
  const context = () => ({ siteId: 'site-a', nowMs: time.ms, overlapMs: 30 * DAY_MS });
  const change: TestKeys['change'] = (plan, disk = KEY_DISK) => changeKeys(folder, disk, time.ms, plan);
  const own: TestKeys = {
    folder,
    settings,
    time,
    context,
    change,
    ensure: (disk = KEY_DISK) => ensureSiteKeys(place, settings, disk, time.ms),
    read: () => readSiteKeys(place, settings, { clock: { now: () => time.ms } }),
    rotate: (purposes = BOTH, disk) => change((loaded) => rotateKeys(loaded, purposes, context()), disk),
  };
  if (path === undefined) await own.ensure();
  return own;
}

/** A disk that is gone at the `steps`th write. */
export function failingDisk(steps: number): KeyDisk {
  let left = steps;
  const guarded =
    <A extends unknown[], R>(write: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (left === 0) throw new Error('the power has failed');
      left -= 1;
      return write(...args);
    };
  return {
    create: guarded(KEY_DISK.create),
    replace: guarded(KEY_DISK.replace),
    makeFolder: guarded(KEY_DISK.makeFolder),
  };
}

/** Our keys in a process that runs for long: what `drawbridge keys` changes meanwhile comes in, or is told in the log. */
import type { Settings } from '../config/settings.js';
import { type Clock, systemClock } from '../domain/clock.js';
import type { Log } from '../observe/log.js';
import { passphraseFrom } from '../trust/key-encryption.js';
import { unprotectedKeys } from '../trust/key-protection.js';
import { settleKeys } from '../trust/key-store.js';
import { readSiteKeys, type SiteKeys } from '../trust/site-keys.js';
import { KEY_DISK } from './key-disk.js';

const TIDY_MS = 3_600_000;

/** @throws KEY_UNREADABLE, KEY_LOCKED; its `refresh` throws neither */
export function readLiveKeys(
  folder: string,
  settings: Pick<Settings, 'https' | 'keys'>,
  log: Log,
  clock: Clock = systemClock,
): Promise<SiteKeys> {
  return readSiteKeys(folder, settings, {
    clock,
    unreadable: ({ code, message }) => log.error({ event: 'keys.unreadable', code, reason: message }),
  });
}

/**
 * Removes, now and then, the private halves of keys whose time is over, and warns at the start of keys that lie in the
 * clear although there is a passphrase. The gateway does it, for all processes.
 * @returns stops it
 */
export function startKeyTidying(
  folder: string,
  { keys }: Pick<Settings, 'keys'>,
  log: Log,
  clock: Clock,
): () => void {
  const own = { path: folder, passphrase: passphraseFrom(keys) };
  const tidy = () =>
    settleKeys(own, KEY_DISK, clock.now()).catch((error: unknown) =>
      log.warn({ event: 'keys.untidied', reason: String(error) }),
    );
  if (keys.passphraseFile !== undefined) {
    unprotectedKeys(folder, clock.now()).then(
      (files) => {
        if (files.length > 0)
          log.warn({ event: 'keys.in_the_clear', files, todo: 'drawbridge keys encrypt' });
      },
      (error: unknown) => log.warn({ event: 'keys.untidied', reason: String(error) }),
    );
  }
  const timer = setInterval(() => void tidy(), TIDY_MS);
  return () => clearInterval(timer);
}

/** Our keys as `drawbridge keys` shows them, and how people name one. */
import { readFile } from 'node:fs/promises';
import { formatTimestamp } from '../domain/clock.js';
import { GatewayError } from '../errors/gateway-error.js';
import { keyFingerprint } from '../jmix/raw-keys.js';
import { isEncryptedKey } from '../trust/key-encryption.js';
import { parsePublicKey } from '../trust/key-files.js';
import {
  generationPath,
  type KeyGeneration,
  type KeyRing,
  type KeyState,
  needsPrivateHalf,
  presentPath,
  stateAt,
} from '../trust/key-ring.js';

/** Stable members, documented in README. */
export interface KeyView {
  readonly kid: string;
  readonly purpose: KeyGeneration['purpose'];
  readonly fingerprint: string;
  readonly public_key: string;
  readonly state: KeyState;
  readonly made_at: string;
  /** When it ceased to be the present one. */
  readonly ended_at: string | null;
  /** When its private half goes. */
  readonly until: string | null;
  /** How the private half lies on the disk; null when it is not there any more. */
  readonly private_key: 'encrypted' | 'clear' | null;
}

/** Newest first. */
export async function viewKeys(folder: string, ring: KeyRing, nowMs: number): Promise<readonly KeyView[]> {
  return Promise.all(
    [...ring.generations].reverse().map(async (generation) => ({
      kid: generation.kid,
      purpose: generation.purpose,
      fingerprint: fingerprintOf(generation),
      public_key: generation.key,
      state: stateAt(generation, nowMs),
      made_at: formatTimestamp(generation.madeAtMs),
      ended_at: timeOf(generation.endedAtMs),
      until: timeOf(generation.untilMs),
      private_key: needsPrivateHalf(generation, nowMs) ? await formOf(folder, ring, generation) : null,
    })),
  );
}

export function describeKeys(keys: readonly KeyView[]): string {
  return keys
    .map(({ kid, purpose, state, made_at: madeAt, until, fingerprint, private_key: form }) =>
      [
        `${kid}  ${purpose}, ${state}${until === null ? '' : ` until ${until}`}`,
        `    made ${madeAt}, private key ${form === null ? 'removed' : form === 'clear' ? 'in the clear' : 'under the passphrase'}`,
        `    ${fingerprint}`,
      ].join('\n'),
    )
    .join('\n');
}

/** @param name kid or fingerprint @throws REQUEST_INVALID when no key has it */
export function namedKey(ring: KeyRing, name: string): KeyGeneration {
  const found = ring.generations.find(
    (each) => each.kid === name || fingerprintOf(each).toLowerCase() === name.toLowerCase(),
  );
  if (found !== undefined) return found;
  throw new GatewayError('REQUEST_INVALID', `there is no key ${name}; see \`drawbridge keys list\``);
}

export function fingerprintOf({ key, purpose }: KeyGeneration): string {
  return keyFingerprint(parsePublicKey(key, purpose));
}

function timeOf(atMs: number | undefined): string | null {
  return atMs === undefined ? null : formatTimestamp(atMs);
}

async function formOf(
  folder: string,
  ring: KeyRing,
  { kid, purpose }: KeyGeneration,
): Promise<'encrypted' | 'clear'> {
  const path = ring.revision === 0 ? presentPath(folder, purpose) : generationPath(folder, kid);
  return isEncryptedKey(await readFile(path, 'latin1')) ? 'encrypted' : 'clear';
}

/** Who an envelope is sealed to: what the manifest says of them, and their keys. */
import type { KeyObject } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.js';
import { MAX_RECIPIENTS } from './content-key.js';
import type { Dialect } from './dialect.js';
import { isLowOrderPoint } from './key-agreement.js';
import type { Entity } from './manifest.js';
import { rawPublicKey } from './raw-keys.js';

export interface Recipient {
  /** Stands in the manifest. */
  readonly entity: Entity;
  /** X25519, public. */
  readonly key: KeyObject;
}

/**
 * The first recipient, whom the plain JMIX block serves, when all of them may be sealed to.
 * @throws MANIFEST_INVALID when there is none, or more than the dialect or we can serve;
 *   ENCRYPTION_PARAMETERS_INVALID when a key is no X25519 key, or a point of low order
 */
export function firstRecipient(recipients: readonly Recipient[], dialect: Dialect): Recipient {
  const [first] = recipients;
  if (first === undefined) throw new GatewayError('MANIFEST_INVALID', 'an envelope needs a receiver');
  const most = dialect.severalRecipients ? MAX_RECIPIENTS : 1;
  if (recipients.length > most) {
    throw new GatewayError(
      'MANIFEST_INVALID',
      `an envelope in the dialect ${dialect.name} has at most ${most} receivers, got ${recipients.length}`,
    );
  }
  for (const { entity, key } of recipients) {
    if (key.asymmetricKeyType === 'x25519' && !isLowOrderPoint(rawPublicKey(key))) continue;
    throw new GatewayError(
      'ENCRYPTION_PARAMETERS_INVALID',
      `the key of ${entity.id} is no X25519 key, or a point of low order`,
    );
  }
  return first;
}

/** A site that a hub passes envelopes on to and takes them from. The hub knows its name and its lock, nothing more. */
import type { ServerTrust } from './exchange.js';

export interface Member extends ServerTrust {
  /** Organisation id: `sender.id` and `receiver[].id` of manifests. */
  readonly id: string;
  readonly name: string;
  /** SHA-256 of its bearer token, 64 lower hex digits; absent: it shows a certificate. */
  readonly tokenSha256?: string;
  /** Most bytes that may wait for it. */
  readonly quotaBytes: number;
}

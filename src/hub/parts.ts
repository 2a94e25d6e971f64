/** What a hub is made of; compose builds it once. Neither a queue nor a worker is among it: a hub works on nothing. */
import type { KeyObject } from 'node:crypto';
import type { Clock } from '../domain/clock.js';
import type { Member } from '../domain/member.js';
import type { Site } from '../domain/site.js';
import type { Log } from '../observe/log.js';
import type { Layout } from '../spool/layout.js';
import type { SiteKeys } from '../trust/site-keys.js';
import type { ParcelStore } from './parcel-store.js';

export interface HubParts {
  readonly site: Site;
  /** They sign the `forwarded` step of the audit trail, and open envelopes that hold another one for somebody else. */
  readonly keys: SiteKeys;
  readonly members: ReadonlyMap<string, HubMember>;
  readonly layout: Layout;
  readonly parcels: ParcelStore;
  readonly maxEnvelopeBytes: number;
  /** Most bytes of envelopes for the hub itself. */
  readonly ownQuotaBytes: number;
  /** An envelope that has waited for so long is parked; one that was parked for so long is removed. */
  readonly expiryMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface HubMember extends Member {
  /** Ed25519 keys that must have signed its envelopes for the hub; any when empty. */
  readonly signingKeys: readonly KeyObject[];
}

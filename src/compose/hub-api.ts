/** What stands behind the API of a hub: inboxes, and no receipts, since those travel sealed as everything else. */
import { isWanted } from '../domain/parcel.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { DirectoryApi, PeerApi } from '../http/ports.js';
import type { Deposit } from '../hub/deposit.js';
import type { HubInbox } from '../hub/inbox.js';
import type { HubParts } from '../hub/parts.js';
import { formatJwks } from '../trust/jwks.js';
import { identifyMember, identifyToken, type KnownMember } from '../trust/members.js';

export interface HubUse {
  readonly members: ReadonlyMap<string, KnownMember>;
  readonly inbox: HubInbox;
  readonly deposit: Deposit;
  readonly admission: () => GatewayError | undefined;
  readonly directory?: DirectoryApi;
}

export function createHubApi(
  { parcels, keys }: Pick<HubParts, 'parcels' | 'keys'>,
  { members, inbox, deposit, admission, directory }: HubUse,
): PeerApi {
  return {
    identify: (certificate) => identifyMember(members, certificate)?.id,
    identifyToken: (token) => identifyToken(members, token)?.id,
    admission,
    async receive({ peerId, body, mediaType, signal }) {
      if (mediaType !== 'application/x-tar') {
        throw new GatewayError(
          'MEDIA_TYPE_UNSUPPORTED',
          `a hub takes application/x-tar alone, got ${mediaType}`,
        );
      }
      return deposit.put(peerId, body, signal);
    },
    async probe(peerId, id) {
      const parcel = await parcels.read(id);
      // What was removed before everybody had it may be brought again.
      if (parcel?.senderId !== peerId || isWanted(parcel)) return undefined;
      return { manifestSha256: parcel.manifestSha256 };
    },
    receiptFor: async () => undefined,
    async acceptReceipt() {
      throw new GatewayError(
        'ENVELOPE_NOT_FOUND',
        'a hub takes no receipts: they travel sealed, as envelopes',
      );
    },
    async keySet() {
      await keys.refresh();
      return formatJwks(keys);
    },
    inbox,
    ...(directory === undefined ? {} : { directory }),
  };
}

/**
 * Rules that no look at the config alone can check, since pairing and the directory bring what it leaves out: can every
 * peer be told from an impostor, and is every route's peer one? That a peer has keys at this moment is not asked: they
 * may be revoked while the bridge runs, and then its studies wait.
 */
import { invalidConfig } from '../config/check.js';
import type { PeerSettings, Settings } from '../config/settings.js';
import { type KnownPeer, reachOf } from './peers.js';

/** @throws CONFIG_INVALID with all problems */
export function assertPeers(settings: Settings, peers: readonly KnownPeer[]): void {
  const problems = [
    ...settings.routes.flatMap((route, index) =>
      route.to.flatMap((id) =>
        routeProblems(
          id,
          peers.find(({ peer }) => peer.id === id),
        ).map((problem) => `routes.${index}.to: ${problem}`),
      ),
    ),
    ...settings.peers.flatMap((entry, index) => {
      const known = peers.find(({ peer }) => peer.id === entry.id);
      return known === undefined || isBrought(known)
        ? []
        : entryProblems(entry, known).map((problem) => `peers.${index}${problem}`);
    }),
    ...sharedCertificates(peers),
  ];
  if (problems.length > 0) throw invalidConfig(problems);
}

function routeProblems(id: string, known: KnownPeer | undefined): readonly string[] {
  if (known === undefined) {
    return [
      `there is no peer ${id}; add it to peers, or pair with it (drawbridge pair) before it has a route`,
    ];
  }
  const { entry, record } = known;
  const hasWay = (reachOf(entry, record).url ?? entry.via) !== undefined;
  const canSeal = entry.seal === 'openpgp' || entry.encryptionKey !== undefined;
  return isBrought(known) || (hasWay && canSeal)
    ? []
    : [`the peer ${id} has no encryptionKey, or neither url nor via, so nothing can be sent to it`];
}

function entryProblems(entry: PeerSettings, { record }: KnownPeer): readonly string[] {
  const { url, certificateFingerprints, openpgpFingerprints } = reachOf(entry, record);
  const isVerifiable = certificateFingerprints.length > 0 || entry.caFile !== undefined;
  const called = [entry.jwksUrl, url].some((each) => each !== undefined);
  const signs = entry.signingKeys.length > 0 || openpgpFingerprints.length > 0;
  return [
    ...(called && !isVerifiable
      ? [
          `: expected certificateFingerprints or caFile, so that ${entry.id} can be told from an impostor, or a pairing`,
        ]
      : []),
    ...((url ?? entry.via) !== undefined && !signs
      ? [`.signingKeys: expected at least one, or no receipt of ${entry.id} can be verified; or a pairing`]
      : []),
  ];
}

/** What the config leaves out, something else gives, or will. */
function isBrought({ entry, record }: KnownPeer): boolean {
  return record.paired !== undefined || entry.directory;
}

/** Those of the config alone are checked with the config. */
function sharedCertificates(peers: readonly KnownPeer[]): readonly string[] {
  return peers
    .filter(({ record }) => record.paired !== undefined)
    .flatMap(({ peer }) =>
      peers
        .filter(
          (other) =>
            other.peer.id !== peer.id &&
            other.peer.certificateFingerprints.some((each) => peer.certificateFingerprints.includes(each)),
        )
        .map((other) => `peers: ${peer.id} and ${other.peer.id} share a certificate; it could be either`),
    );
}

/** Rules that span several settings. Returns every problem, not the first one. */
import type { Settings } from './settings.js';

export function checkSettings(settings: Settings): readonly string[] {
  return [...duplicates(settings), ...routes(settings), ...peers(settings), ...listeners(settings)];
}

function duplicates(settings: Settings): string[] {
  const repeated = (values: readonly string[]) => [
    ...new Set(values.filter((v, i) => values.indexOf(v) !== i)),
  ];
  return [
    ...repeated(settings.peers.map((peer) => peer.id)).map((id) => `peers: the id ${id} stands there twice`),
    ...repeated(settings.pacs.map((pacs) => pacs.name)).map(
      (name) => `pacs: the name ${name} stands there twice`,
    ),
    ...repeated(settings.peers.flatMap((peer) => peer.certificateFingerprints)).map(
      (fingerprint) =>
        `peers: two peers share the certificate ${fingerprint.slice(0, 16)}…; it could be either`,
    ),
    ...settings.peers
      .filter((peer) => peer.id === settings.site.id)
      .map((peer) => `peers: ${peer.id} is this site itself`),
  ];
}

function routes(settings: Settings): string[] {
  const known = new Map(settings.peers.map((peer) => [peer.id, peer]));
  return settings.routes.flatMap((route, index) =>
    route.to.flatMap((id) => {
      const peer = known.get(id);
      if (peer === undefined) return [`routes.${index}.to: there is no peer ${id}`];
      return peer.url === undefined || peer.encryptionKey === undefined
        ? [`routes.${index}.to: the peer ${id} has no url or no encryptionKey, so nothing can be sent to it`]
        : [];
    }),
  );
}

function peers(settings: Settings): string[] {
  const known = new Set(settings.pacs.map((pacs) => pacs.name));
  return settings.peers.flatMap((peer, index) => [
    ...(peer.deliverTo ?? [])
      .filter((name) => !known.has(name))
      .map((name) => `peers.${index}.deliverTo: there is no PACS ${name}`),
    ...(peer.url !== undefined && peer.certificateFingerprints.length === 0 && peer.caFile === undefined
      ? [
          `peers.${index}: expected certificateFingerprints or caFile, so that ${peer.id} can be told from an impostor`,
        ]
      : []),
    ...(peer.url !== undefined && peer.signingKeys.length === 0
      ? [`peers.${index}.signingKeys: expected at least one, or no receipt of ${peer.id} can be verified`]
      : []),
  ]);
}

function listeners(settings: Settings): string[] {
  const { certFile, keyFile } = settings.https;
  const ports = [settings.dimse.port, settings.https.port, settings.dashboard.port].filter(
    (port) => port !== 0,
  );
  return [
    ...((certFile === undefined) === (keyFile === undefined)
      ? []
      : ['https: certFile and keyFile are given together, or not at all']),
    ...(new Set(ports).size === ports.length
      ? []
      : ['dimse, https and dashboard need three different ports']),
    ...(settings.disk.warnFreeBytes >= settings.disk.refuseFreeBytes
      ? []
      : ['disk: expected warnFreeBytes to be at least refuseFreeBytes']),
  ];
}

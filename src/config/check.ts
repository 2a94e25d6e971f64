/**
 * Rules that span several settings. Returns every problem, not the first one. What pairing or the directory may bring for a
 * peer is not asked here: that is checked where the peers are known.
 */
import { GatewayError } from '../errors/gateway-error.js';
import type { Settings } from './settings.js';

/** All problems of a config as one error. */
export function invalidConfig(problems: readonly string[]): GatewayError {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  return new GatewayError('CONFIG_INVALID', `the configuration has ${count}:\n  ${problems.join('\n  ')}`);
}

export function checkSettings(settings: Settings): readonly string[] {
  return [
    ...duplicates(settings),
    ...exchanges(settings),
    ...(settings.role === 'hub' ? hub(settings) : peers(settings)),
    ...listeners(settings),
    ...dicom(settings),
  ];
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
    ...repeated(settings.exchanges.map((exchange) => exchange.name)).map(
      (name) => `exchanges: the name ${name} stands there twice`,
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

/** Whether DICOM is spoken over TLS, in or out. */
export function usesDicomTls({ dimse, pacs }: Pick<Settings, 'dimse' | 'pacs'>): boolean {
  return (
    dimse.tls.listen ||
    pacs.some(({ tls }) => tls) ||
    dimse.callers.some(({ reportTo }) => reportTo?.tls === true)
  );
}

/** TLS that nobody could be told from an impostor with, and halves of what belongs together. */
function dicom({ dimse, pacs }: Settings): string[] {
  const { tls } = dimse;
  const isVerifiable = tls.caFile !== undefined || tls.certificateFingerprints.length > 0;
  return [
    ...(dimse.listen || tls.listen ? [] : ['dimse.listen: expected true, or dimse.tls.listen']),
    ...(usesDicomTls({ dimse, pacs }) && !isVerifiable
      ? ['dimse.tls: expected caFile or certificateFingerprints, so that others can be told from impostors']
      : []),
    ...((tls.certFile === undefined) === (tls.keyFile === undefined)
      ? []
      : ['dimse.tls: expected certFile and keyFile, or neither']),
    ...dimse.callers.flatMap(({ certificates }, index) =>
      certificates !== undefined && !tls.listen
        ? [`dimse.callers.${index}.certificates: expected dimse.tls.listen, or it could never call`]
        : [],
    ),
    ...(tls.crlFile !== undefined && tls.caFile === undefined
      ? [
          'dimse.tls.crlFile: expected caFile; certificates that are taken by their fingerprints are not looked up',
        ]
      : []),
    ...(dimse.userRequired && dimse.users.length === 0
      ? ['dimse.userRequired: expected dimse.users, or nobody could send']
      : []),
    ...pacs.flatMap(({ user, passwordFile }, index) =>
      user === undefined && passwordFile !== undefined ? [`pacs.${index}.passwordFile: expected a user`] : [],
    ),
  ];
}

/** What an exchange of each type cannot do without, and what means nothing to it. */
const EXCHANGE_KEYS = {
  ftps: { needed: ['host', 'user', 'passwordFile'], foreign: ['url', 'tokenFile', 'hubId', 'encryptionKey'] },
  hub: { needed: ['url'], foreign: ['host', 'user', 'passwordFile', 'outbox', 'inbox'] },
  folder: {
    needed: [],
    foreign: ['host', 'user', 'passwordFile', 'url', 'tokenFile', 'hubId', 'encryptionKey'],
  },
} as const;

function exchanges(settings: Settings): string[] {
  return settings.exchanges.flatMap((exchange, index) => {
    const at = `exchanges.${index}`;
    const { needed, foreign } = EXCHANGE_KEYS[exchange.type];
    const isServer = exchange.type !== 'folder';
    const isVerifiable = exchange.certificateFingerprints.length > 0 || exchange.caFile !== undefined;
    const nested = [exchange.hubId, exchange.encryptionKey];
    return [
      ...needed
        .filter((key) => exchange[key] === undefined)
        .map((key) => `${at}.${key}: expected, since its type is ${exchange.type}`),
      ...foreign
        .filter((key) => exchange[key] !== undefined)
        .map((key) => `${at}.${key}: means nothing to the type ${exchange.type}`),
      ...(isServer && !isVerifiable
        ? [
            `${at}: expected certificateFingerprints or caFile, so that the server can be told from an impostor`,
          ]
        : []),
      ...(exchange.type !== 'hub' && (exchange.outbox ?? exchange.inbox) === undefined
        ? [`${at}: expected an outbox, an inbox, or both`]
        : []),
      ...(exchange.nested && nested.includes(undefined)
        ? [`${at}.nested: expected hubId and encryptionKey of the hub`]
        : []),
    ];
  });
}

/** A hub has sites, and neither modalities nor PACS. */
function hub(settings: Settings): string[] {
  const foreign = (['routes', 'pacs', 'exchanges'] as const).filter((key) => settings[key].length > 0);
  return [
    ...foreign.map((key) => `${key}: a hub has none`),
    ...settings.peers.flatMap((peer, index) =>
      peer.certificateFingerprints.length === 0 && peer.tokenSha256 === undefined
        ? [`peers.${index}: expected certificateFingerprints or tokenSha256, by which ${peer.id} is known`]
        : [],
    ),
  ];
}

function peers(settings: Settings): string[] {
  const known = new Set(settings.pacs.map((pacs) => pacs.name));
  return settings.peers.flatMap((peer, index) => [
    ...via(settings, peer.via).map((problem) => `peers.${index}.via: ${problem}`),
    ...(peer.url !== undefined && peer.via !== undefined
      ? [
          `peers.${index}: expected url or via, not both; it would not be clear which way ${peer.id} is reached`,
        ]
      : []),
    ...(peer.deliverTo ?? [])
      .filter((name) => !known.has(name))
      .map((name) => `peers.${index}.deliverTo: there is no PACS ${name}`),
    ...(peer.directory && settings.directory.url === undefined
      ? [`peers.${index}.directory: expected directory.url, or ${peer.id} cannot be looked up`]
      : []),
  ]);
}

function via(settings: Settings, name: string | undefined): string[] {
  if (name === undefined) return [];
  const exchange = settings.exchanges.find((each) => each.name === name);
  if (exchange === undefined) return [`there is no exchange ${name}`];
  return exchange.type !== 'hub' && exchange.outbox === undefined
    ? [`the exchange ${name} has no outbox, so nothing can be put into it`]
    : [];
}

function listeners(settings: Settings): string[] {
  const { dimse, https, dashboard } = settings;
  const { certFile, keyFile } = https;
  const ports = [
    ...(dimse.listen ? [dimse.port] : []),
    ...(dimse.tls.listen ? [dimse.tls.port] : []),
    ...(https.listen ? [https.port] : []),
    dashboard.port,
  ].filter((port) => port !== 0);
  return [
    ...((certFile === undefined) === (keyFile === undefined)
      ? []
      : ['https: certFile and keyFile are given together, or not at all']),
    ...(new Set(ports).size === ports.length
      ? []
      : ['dimse, dimse.tls, https and dashboard need different ports']),
    ...(settings.disk.warnFreeBytes >= settings.disk.refuseFreeBytes
      ? []
      : ['disk: expected warnFreeBytes to be at least refuseFreeBytes']),
  ];
}

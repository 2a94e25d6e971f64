/** The PACS of the config, as the bridge works with them. */
import type { AeTitle } from '../domain/ae-title.js';
import type { Pacs } from '../domain/peer.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { Settings } from './settings.js';

/** The configured PACS by name. */
export function readPacs(settings: Settings): ReadonlyMap<string, Pacs> {
  const ours = settings.dimse.aeTitles[0];
  if (ours === undefined) throw new GatewayError('CONFIG_INVALID', 'dimse.aeTitles: expected at least one');
  return new Map(settings.pacs.map((entry) => [entry.name, toPacs(entry, entry.callingAeTitle ?? ours)]));
}

function toPacs(entry: Settings['pacs'][number], callingAe: AeTitle): Pacs {
  const { name, aeTitle, host, port, passCallingAe, tls, user, passwordFile, transferSyntaxes } = entry;
  const { transcode, maxPduBytes, associations, asyncOperations, paused, commitment } = entry;
  return {
    name,
    aeTitle,
    host,
    port,
    callingAe,
    passCallingAe,
    tls,
    ...(user === undefined
      ? {}
      : { user: { name: user, ...(passwordFile === undefined ? {} : { passwordFile }) } }),
    ...(transferSyntaxes === undefined ? {} : { transferSyntaxes }),
    transcode,
    maxPduBytes,
    associations,
    asyncOperations,
    timeouts: {
      connectTimeoutMs: entry.connectTimeoutSeconds * 1000,
      associationTimeoutMs: entry.associationTimeoutSeconds * 1000,
      responseTimeoutMs: entry.responseTimeoutSeconds * 1000,
    },
    keepOpenMs: entry.keepOpenSeconds * 1000,
    paused,
    commitment,
    commitmentTimeoutMs: entry.commitmentTimeoutSeconds * 1000,
  };
}

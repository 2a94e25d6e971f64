/** Whom a command calls: a PACS of the config, with all that the config says of it, or any AE. */
import type { CalledPacs } from '../dimse/scu-connection.js';
import { type AeTitle, parseAeTitle } from '../domain/ae-title.js';
import { GatewayError } from '../errors/gateway-error.js';
import { parseAeAddress } from './ae-address.js';
import { configPath } from './config-option.js';
import type { TlsOption } from './dicom-tls-option.js';

export interface AeTarget {
  readonly pacs: CalledPacs;
  readonly callingAe: AeTitle;
  readonly tls: boolean;
}

/**
 * @param target `AE@host:port`, which needs no config, or the name of a PACS
 * @throws REQUEST_INVALID when there is no such PACS; CONFIG_INVALID
 */
export async function readAeTarget(
  target: string,
  options: TlsOption & { readonly calling?: string },
): Promise<AeTarget> {
  const { calling, tls = false } = options;
  if (target.includes('@')) {
    return { pacs: parseAeAddress(target), callingAe: parseAeTitle(calling ?? 'DRAWBRIDGE'), tls };
  }
  // It takes longer to load than a small study to send.
  const [{ loadSettings }, { readPacs }] = await Promise.all([
    import('../config/load.js'),
    import('../config/pacs.js'),
  ]);
  const pacs = readPacs(loadSettings(configPath(options), process.env)).get(target);
  if (pacs === undefined)
    throw new GatewayError('REQUEST_INVALID', `there is no PACS ${target} in the config`);
  const callingAe = calling === undefined ? pacs.callingAe : parseAeTitle(calling);
  return { pacs, callingAe, tls: tls || pacs.tls };
}

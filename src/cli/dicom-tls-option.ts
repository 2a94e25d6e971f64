/** `--tls`: DICOM over TLS by `dimse.tls` of the config, for commands that call an AE. */
import { Option } from 'commander';
import type { Connect } from '../compose/dicom-tls.js';
import { createLayout } from '../spool/layout.js';
import { type ConfigOption, configPath } from './config-option.js';

export interface TlsOption extends ConfigOption {
  readonly tls?: boolean;
}

export function tlsOption(): Option {
  return new Option('--tls', 'call it with TLS, by dimse.tls of the config');
}

/**
 * Runs what calls an AE, by TLS if `tls` says so; only then is there a config to be read.
 * @throws CONFIG_INVALID, KEY_UNREADABLE, KEY_LOCKED, and what `call` throws
 */
export async function callingBy<T>(
  tls: boolean,
  options: ConfigOption,
  call: (by: { readonly connect?: Connect }) => Promise<T>,
): Promise<T> {
  if (!tls) return call({});
  const [{ openConfiguredDicomTls }, { loadSettings }, { silentLog }] = await Promise.all([
    import('../compose/dicom-tls.js'),
    import('../config/load.js'),
    import('../observe/log.js'),
  ]);
  const settings = loadSettings(configPath(options), process.env);
  const dicomTls = await openConfiguredDicomTls(settings, createLayout(settings.dataDir).keys, silentLog);
  try {
    return await call({ connect: (to) => dicomTls.connect(to) });
  } finally {
    dicomTls.close();
  }
}

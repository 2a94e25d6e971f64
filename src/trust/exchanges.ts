/** The configured exchanges, with what proves them and what lets us in. */
import type { ExchangeSettings, Settings } from '../config/settings.js';
import { type Exchange, folderFor, type ServerTrust } from '../domain/exchange.js';
import { GatewayError } from '../errors/gateway-error.js';
import { readCa, readSecret } from './config-files.js';
import { parsePublicKey } from './key-files.js';

/** @throws CONFIG_INVALID when a file cannot be read, KEY_UNREADABLE for a bad key */
export async function readExchanges(settings: Settings): Promise<ReadonlyMap<string, Exchange>> {
  const exchanges = await Promise.all(settings.exchanges.map((each) => readExchange(each, settings.site.id)));
  return new Map(exchanges.map((exchange) => [exchange.name, exchange]));
}

/** @throws CONFIG_INVALID when a password or token cannot be read */
export async function checkSecrets(exchange: Exchange): Promise<void> {
  if (exchange.type === 'ftps') await exchange.password();
  if (exchange.type === 'hub') await exchange.token?.();
}

async function readExchange(settings: ExchangeSettings, siteId: string): Promise<Exchange> {
  const { name, outbox, inbox, afterTaking } = settings;
  const place = { name, pollMs: settings.pollSeconds * 1000, afterTaking };
  const boxes = {
    ...(outbox === undefined ? {} : { outbox }),
    ...(inbox === undefined ? {} : { inbox: folderFor(inbox, siteId) }),
  };
  switch (settings.type) {
    case 'folder':
      return { ...place, ...boxes, type: 'folder', settleMs: settings.settleSeconds * 1000 };
    case 'ftps': {
      const { port, clientCertificate } = settings;
      const passwordFile = given(settings, 'passwordFile');
      return {
        ...place,
        ...boxes,
        type: 'ftps',
        host: given(settings, 'host'),
        port,
        user: given(settings, 'user'),
        password: () => readSecret(`exchanges: the passwordFile of ${name}`, passwordFile),
        trust: await readTrust(settings),
        clientCertificate,
      };
    }
    case 'hub': {
      const { tokenFile } = settings;
      return {
        ...place,
        type: 'hub',
        url: given(settings, 'url').replace(/\/+$/, ''),
        trust: await readTrust(settings),
        ...(tokenFile === undefined
          ? {}
          : { token: () => readSecret(`exchanges: the tokenFile of ${name}`, tokenFile) }),
        ...(settings.nested
          ? {
              nested: {
                id: given(settings, 'hubId'),
                encryptionKey: parsePublicKey(given(settings, 'encryptionKey'), 'encryption'),
              },
            }
          : {}),
      };
    }
  }
}

async function readTrust({ name, certificateFingerprints, caFile }: ExchangeSettings): Promise<ServerTrust> {
  return {
    certificateFingerprints,
    ...(caFile === undefined
      ? {}
      : { certificateAuthority: await readCa(`exchanges: the caFile of ${name}`, caFile) }),
  };
}

/** What the check of the settings has found to be there. */
function given<K extends keyof ExchangeSettings>(
  settings: ExchangeSettings,
  key: K,
): NonNullable<ExchangeSettings[K]> {
  const value = settings[key];
  if (value === undefined || value === null)
    throw new GatewayError('CONFIG_INVALID', `exchanges: ${settings.name} has no ${key}`);
  return value;
}

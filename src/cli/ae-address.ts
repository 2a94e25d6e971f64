/** `AE@host:port` on a command line, or the name of a PACS in the config. */
import { type AeAddress, isAeTitle } from '../domain/ae-title.js';
import { GatewayError } from '../errors/gateway-error.js';

/** @throws REQUEST_INVALID */
export function parseAeAddress(text: string): AeAddress {
  const parts = /^(.+)@(.+):(\d+)$/.exec(text);
  const [, aeTitle = '', host = '', port = ''] = parts ?? [];
  const number = Number(port);
  if (!isAeTitle(aeTitle) || host === '' || !(number >= 1 && number <= 65_535)) {
    throw new GatewayError(
      'REQUEST_INVALID',
      `expected AE@host:port, for example PACS@10.1.0.10:104, with an AE title of 16 characters at most; got ${text}`,
    );
  }
  return { aeTitle, host: host.replace(/^\[|\]$/g, ''), port: number };
}

/** `AE@host:port` on a command line, or the name of a PACS in the config. */
import { InvalidArgumentError } from 'commander';
import { type AeAddress, isAeTitle } from '../domain/ae-title.js';

/** @throws InvalidArgumentError, which commander shows */
export function parseAeAddress(text: string): AeAddress {
  const parts = /^(.+)@(.+):(\d+)$/.exec(text);
  const [, aeTitle = '', host = '', port = ''] = parts ?? [];
  const number = Number(port);
  if (!isAeTitle(aeTitle) || host === '' || !(number >= 1 && number <= 65_535)) {
    throw new InvalidArgumentError('expected AE@host:port, for example PACS@10.1.0.10:104');
  }
  return { aeTitle, host: host.replace(/^\[|\]$/g, ''), port: number };
}

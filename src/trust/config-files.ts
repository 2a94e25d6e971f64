/** Files that the config names beside itself: certificates of authorities, passwords, tokens. */
import { readFile } from 'node:fs/promises';
import { GatewayError } from '../errors/gateway-error.js';

/**
 * A CA's certificate, PEM.
 * @param what for the message: which setting names the file
 * @throws CONFIG_INVALID when it cannot be read
 */
export function readCa(what: string, path: string): Promise<string> {
  return read(what, path);
}

/**
 * A password or token, without the line's end. Read when it is used, so that it can be changed while the bridge runs.
 * @throws CONFIG_INVALID when it cannot be read, or is empty
 */
export async function readSecret(what: string, path: string): Promise<string> {
  const text = (await read(what, path)).replace(/\r?\n$/, '');
  if (text === '') throw new GatewayError('CONFIG_INVALID', `${what} is empty: ${path}`);
  return text;
}

async function read(what: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new GatewayError('CONFIG_INVALID', `${what} cannot be read: ${path}`, { cause });
  }
}

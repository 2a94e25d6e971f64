/** Certificate revocation lists (RFC 5280 §5) of the CAs that vouch for others, from a file. */
import { readFile } from 'node:fs/promises';
import 'reflect-metadata';
import { X509Crl } from '@peculiar/x509';
import { GatewayError } from '../errors/gateway-error.js';

const PEM_LIST = /-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g;

/**
 * @param path lists in PEM, or one in DER, as CAs publish it
 * @returns PEM of each; and when the first of them is to be replaced (nextUpdate), in ms since 1970
 * @throws CONFIG_INVALID
 */
export async function readRevocations(
  path: string,
): Promise<{ readonly lists: readonly string[]; readonly expiresAtMs: number }> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new GatewayError('CONFIG_INVALID', `dimse.tls.crlFile cannot be read: ${path}`, { cause });
  });
  const texts = bytes.toString('latin1').match(PEM_LIST);
  try {
    const lists = (texts ?? [bytes]).map((list) => new X509Crl(list));
    return {
      lists: lists.map(({ rawData }) => asPem(Buffer.from(rawData))),
      expiresAtMs: Math.min(
        ...lists.map(({ nextUpdate }) => nextUpdate?.getTime() ?? Number.POSITIVE_INFINITY),
      ),
    };
  } catch (cause) {
    const text = `dimse.tls.crlFile, ${path}, holds no revocation list that can be read`;
    throw new GatewayError('CONFIG_INVALID', text, { cause });
  }
}

/** As OpenSSL reads it (RFC 7468 §6). */
function asPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN X509 CRL-----', ...lines, '-----END X509 CRL-----', ''].join('\n');
}

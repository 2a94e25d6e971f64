/** The TLS versions of a server that has no setting for them: OpenSSL itself is told, for that process alone. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerPlan } from './server-kind.js';

/** @returns the path of a file for the variable OPENSSL_CONF */
export async function writeOpensslConfig(plan: Pick<ServerPlan, 'folder' | 'tlsVersions'>): Promise<string> {
  const versions = [...plan.tlsVersions].sort();
  const file = join(plan.folder, 'openssl.cnf');
  await writeFile(
    file,
    `openssl_conf = settings
[settings]
ssl_conf = ssl
[ssl]
system_default = versions
[versions]
MinProtocol = TLSv${versions[0]}
MaxProtocol = TLSv${versions.at(-1)}
`,
  );
  return file;
}

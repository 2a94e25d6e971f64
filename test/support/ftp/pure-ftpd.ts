/** Pure-FTPd, with users of its own (a "puredb"). It needs nothing of the machine's. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProcess } from '../processes.js';
import { tool } from '../tools.js';
import { writeOpensslConfig } from './openssl-config.js';
import { OWNER, type ServerCommand, type ServerPlan } from './server-kind.js';

/** Writes the users' database. */
export async function configurePureFtpd(plan: ServerPlan): Promise<ServerCommand> {
  const path = (name: string) => join(plan.folder, name);
  const { uid, gid } = OWNER;
  const quota = plan.quotaBytes ?? '';
  // After the home, whose `/./` ends the part that a user does not see, come limits; the seventh is of bytes.
  const users = plan.accounts.map(
    ({ user, passwordHash, home }) =>
      `${user}:${passwordHash}:${uid}:${gid}::${home}/./:::::::${quota}:::::\n`,
  );
  await writeFile(path('users'), users.join(''), { mode: 0o600 });
  const { code, output } = await runProcess({
    command: tool('pure-ftpd', 'pure-pw'),
    args: ['mkdb', path('users.pdb'), '-f', path('users')],
    folder: plan.folder,
  });
  if (code !== 0) throw new Error(`pure-pw ended with ${code}\n${output}`);
  const chain = await readFile(plan.certificateFile, 'utf8');
  const clientCa = plan.clientCaFile === undefined ? '' : await readFile(plan.clientCaFile, 'utf8');
  // Whom it trusts for the certificates of clients, it looks up beside its own.
  await writeFile(path('chain-and-client-ca.pem'), chain + clientCa);
  return {
    line: [tool('pure-ftpd', 'pure-ftpd'), ...settings(plan, path)],
    env: { OPENSSL_CONF: await writeOpensslConfig(plan) },
    logs: [path('transfers.log')],
  };
}

function settings(plan: ServerPlan, path: (name: string) => string): string[] {
  const { maxClients, bytesPerSecond } = plan;
  return [
    ...['--bind', `127.0.0.1,${plan.port}`],
    ...['--passiveportrange', `${plan.passivePorts[0]}:${plan.passivePorts.at(-1)}`],
    ...['--login', `puredb:${path('users.pdb')}`],
    ...['--pidfile', path('pure-ftpd.pid')],
    ...['--minuid', '1'],
    ...['--altlog', `clf:${path('transfers.log')}`],
    // 3: no login and no data without TLS.
    ...['--tls', '3'],
    ...['--certfile', `${path('chain-and-client-ca.pem')},${plan.keyFile}`],
    ...['--umask', '133:022'],
    '--chrooteveryone',
    '--noanonymous',
    '--dontresolve',
    '--ipv4only',
    '--verboselog',
    ...(plan.clientCaFile === undefined ? [] : ['--tlsciphersuite', '-C:HIGH']),
    ...(plan.quotaBytes === undefined ? [] : ['--quota', '1000000:1000000']),
    ...(maxClients === undefined ? [] : ['--maxclientsnumber', `${maxClients}`]),
    ...(bytesPerSecond === undefined ? [] : ['--userbandwidth', `${Math.ceil(bytesPerSecond / 1024)}`]),
  ];
}

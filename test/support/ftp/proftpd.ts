/** ProFTPD, with mod_tls, which Debian has in a package of its own. It needs nothing of the machine's. */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runProcess } from '../processes.js';
import { tool } from '../tools.js';
import { OWNER, type ServerCommand, type ServerPlan } from './server-kind.js';

/** Writes the configuration. */
export async function configureProftpd(plan: ServerPlan): Promise<ServerCommand> {
  const path = (name: string) => join(plan.folder, name);
  const { uid, gid } = OWNER;
  const users = plan.accounts.map(
    ({ user, passwordHash, home }) => `${user}:${passwordHash}:${uid}:${gid}::${home}:/bin/false`,
  );
  // It refuses files with passwords that others may read.
  await writeFile(path('passwd'), lines(users), { mode: 0o600 });
  await writeFile(path('group'), `nogroup:x:${gid}:\n`, { mode: 0o600 });
  if (plan.quotaBytes !== undefined) await makeQuotaTables(plan, plan.quotaBytes, path);
  const program = tool('proftpd');
  const modules = join(dirname(program), '..', 'lib', 'proftpd');
  await writeFile(path('proftpd.conf'), lines(settings(plan, path, modules)));
  return {
    line: [program, '--nodaemon', '--config', path('proftpd.conf')],
    logs: [path('proftpd.log'), path('commands.log'), path('tls.log')],
  };
}

/** What each account may have, and what it has so far. */
async function makeQuotaTables(
  plan: ServerPlan,
  quotaBytes: number,
  path: (name: string) => string,
): Promise<void> {
  const limits = ['--type=limit', `--table-path=${path('limits')}`];
  const limit = ['--quota-type=user', '--limit-type=hard', `--bytes-upload=${quotaBytes}`, '--units=byte'];
  await runFtpquota(plan, '--create-table', ...limits);
  await runFtpquota(plan, '--create-table', '--type=tally', `--table-path=${path('tallies')}`);
  for (const { user } of plan.accounts) {
    await runFtpquota(plan, '--add-record', ...limits, `--name=${user}`, ...limit);
  }
}

async function runFtpquota({ folder }: ServerPlan, ...args: string[]): Promise<void> {
  const { code, output } = await runProcess({ command: tool('proftpd', 'ftpquota'), args, folder });
  if (code !== 0) throw new Error(`ftpquota ended with ${code}\n${output}`);
}

function settings(plan: ServerPlan, path: (name: string) => string, modules: string): string[] {
  const { maxClients, bytesPerSecond, clientCaFile } = plan;
  const quota = [
    'LoadModule mod_quotatab.c',
    'LoadModule mod_quotatab_file.c',
    'QuotaEngine on',
    `QuotaLimitTable file:${path('limits')}`,
    `QuotaTallyTable file:${path('tallies')}`,
  ];
  const options = plan.requireSessionReuse ? [] : ['TLSOptions NoSessionReuseRequired'];
  const clientCertificate =
    clientCaFile === undefined
      ? ['TLSVerifyClient off']
      : [`TLSCACertificateFile ${clientCaFile}`, 'TLSVerifyClient on'];
  return [
    `ModulePath ${modules}`,
    'LoadModule mod_tls.c',
    'ServerName tests',
    'ServerType standalone',
    'DefaultAddress 127.0.0.1',
    'SocketBindTight on',
    `Port ${plan.port}`,
    `PassivePorts ${plan.passivePorts[0]} ${plan.passivePorts.at(-1)}`,
    'UseIPv6 off',
    'UseReverseDNS off',
    'User nobody',
    'Group nogroup',
    `PidFile ${path('proftpd.pid')}`,
    `ScoreboardFile ${path('scoreboard')}`,
    'WtmpLog off',
    `SystemLog ${path('proftpd.log')}`,
    'TransferLog none',
    'LogFormat command "%a %u \\"%r\\" %s %b"',
    `ExtendedLog ${path('commands.log')} ALL command`,
    'AuthOrder mod_auth_file.c',
    `AuthUserFile ${path('passwd')}`,
    `AuthGroupFile ${path('group')}`,
    'RequireValidShell off',
    'UseFtpUsers off',
    'DefaultRoot ~',
    'Umask 022',
    'AllowOverwrite on',
    'AllowStoreRestart on',
    'AllowRetrieveRestart on',
    'TLSEngine on',
    'TLSRequired on',
    `TLSLog ${path('tls.log')}`,
    `TLSProtocol ${plan.tlsVersions.map((version) => `TLSv${version}`).join(' ')}`,
    `TLSECCertificateFile ${plan.certificateFile}`,
    `TLSECCertificateKeyFile ${plan.keyFile}`,
    ...options,
    ...clientCertificate,
    '<IfModule mod_delay.c>',
    'DelayEngine off',
    '</IfModule>',
    ...(maxClients === undefined ? [] : [`MaxClients ${maxClients}`]),
    ...(bytesPerSecond === undefined ? [] : [`TransferRate APPE,RETR,STOR ${bytesPerSecond / 1024}`]),
    ...(plan.quotaBytes === undefined ? [] : quota),
    '<Limit PORT EPRT>',
    'DenyAll',
    '</Limit>',
  ];
}

const lines = (list: readonly string[]) => `${list.join('\n')}\n`;

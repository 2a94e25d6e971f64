/**
 * vsftpd. It knows users from PAM alone, and PAM reads /etc/pam.d alone: so the server sees files of ours in the
 * place of the machine's /etc/passwd, shadow, group and pam.d, and asks pam_unix.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tool } from '../tools.js';
import { writeOpensslConfig } from './openssl-config.js';
import { OWNER, type ServerCommand, type ServerPlan } from './server-kind.js';

/** Writes the configuration. */
export async function configureVsftpd(plan: ServerPlan): Promise<ServerCommand> {
  const path = (name: string) => join(plan.folder, name);
  const { uid, gid } = OWNER;
  await mkdir(path('pam.d'));
  // `nodelay`: a wrong password would cost two seconds.
  await writeFile(
    path('pam.d/vsftpd'),
    'auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n',
  );
  const users = plan.accounts.map(({ user, home }) => `${user}:x:${uid}:${gid}::${home}:/bin/false`);
  const system = ['root:x:0:0::/:/bin/false', `nobody:x:${uid}:${gid}::/nonexistent:/bin/false`];
  await writeFile(path('passwd'), lines([...system, ...users]));
  await writeFile(
    path('shadow'),
    lines(plan.accounts.map(({ user, passwordHash }) => `${user}:${passwordHash}:20000:0:99999:7:::`)),
    { mode: 0o600 },
  );
  await writeFile(path('group'), `root:x:0:\nnogroup:x:${gid}:\n`);
  await mkdir(path('empty'));
  await writeFile(path('vsftpd.conf'), lines(settings(plan, path)));
  return {
    line: [tool('vsftpd'), path('vsftpd.conf')],
    env: { OPENSSL_CONF: await writeOpensslConfig(plan) },
    mounts: {
      '/etc/pam.d': path('pam.d'),
      '/etc/passwd': path('passwd'),
      '/etc/shadow': path('shadow'),
      '/etc/group': path('group'),
    },
    logs: [path('vsftpd.log')],
  };
}

function settings(plan: ServerPlan, path: (name: string) => string): string[] {
  const yesOrNo = (value: boolean) => (value ? 'YES' : 'NO');
  const { maxClients, bytesPerSecond, clientCaFile } = plan;
  return [
    'listen=YES',
    'listen_address=127.0.0.1',
    `listen_port=${plan.port}`,
    'background=NO',
    'anonymous_enable=NO',
    'local_enable=YES',
    'write_enable=YES',
    'local_umask=022',
    'chroot_local_user=YES',
    'allow_writeable_chroot=YES',
    `secure_chroot_dir=${path('empty')}`,
    'pam_service_name=vsftpd',
    'delay_failed_login=0',
    'ssl_enable=YES',
    'ssl_tlsv1=YES',
    `rsa_cert_file=${plan.certificateFile}`,
    `rsa_private_key_file=${plan.keyFile}`,
    'force_local_logins_ssl=YES',
    'force_local_data_ssl=YES',
    'strict_ssl_read_eof=YES',
    'ssl_ciphers=HIGH',
    `require_ssl_reuse=${yesOrNo(plan.requireSessionReuse)}`,
    `pasv_min_port=${plan.passivePorts[0]}`,
    `pasv_max_port=${plan.passivePorts.at(-1)}`,
    'port_enable=NO',
    // What it would do to be safe needs rights which a container may lack.
    'isolate=NO',
    'isolate_network=NO',
    'seccomp_sandbox=NO',
    'log_ftp_protocol=YES',
    'xferlog_enable=YES',
    'xferlog_std_format=NO',
    `vsftpd_log_file=${path('vsftpd.log')}`,
    ...(maxClients === undefined ? [] : [`max_clients=${maxClients}`]),
    ...(bytesPerSecond === undefined ? [] : [`local_max_rate=${bytesPerSecond}`]),
    ...(clientCaFile === undefined
      ? []
      : ['require_cert=YES', 'validate_cert=YES', `ca_certs_file=${clientCaFile}`]),
  ];
}

const lines = (list: readonly string[]) => `${list.join('\n')}\n`;

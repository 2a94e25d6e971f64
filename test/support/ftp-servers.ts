/**
 * Real FTP servers with explicit TLS (RFC 4217) on the loopback: vsftpd, ProFTPD, Pure-FTPd. TLS is required for the
 * login and for the data; passive mode only. Each has its own temporary folder, ports, certificate and accounts, and
 * changes nothing else on the machine: what must lie in /etc it sees there alone, in a mount namespace of its own.
 * It runs in a process namespace of its own too, so that no session outlives a server that is killed. Needs root.
 *
 * Where they differ:                 | vsftpd                | ProFTPD              | Pure-FTPd
 * - login without TLS                | 530 to USER           | 550 to USER          | 421 to USER
 * - data without TLS session reuse   | 522                   | 425                  | takes it
 * - one client too many              | 421 to the connection | 530 to PASS          | 421 to the connection
 * - quota reached; the upload is     | 451 (disk full); kept | 552; removed         | 552; removed
 * - disk full                        | 451                   | 451                  | 451
 * - AUTH SSL, which some try first   | as AUTH TLS           | as AUTH TLS          | 500
 *
 * With TLS 1.3 a server sends session tickets at the start of a data connection. A client that closes it after an
 * upload without having read them, as curl 7 and lftp 4 do, resets it: vsftpd may then answer 426 and lose the end.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { holdMounts, killEnclosed, startEnclosed } from './ftp/enclosure.js';
import { freePortRange } from './ftp/port-range.js';
import { configureProftpd } from './ftp/proftpd.js';
import { configurePureFtpd } from './ftp/pure-ftpd.js';
import {
  type CertificateOptions,
  hashPassword,
  makeServerCertificate,
  type ServerCertificate,
} from './ftp/server-certificate.js';
import {
  type Account,
  OWNER,
  type ServerCommand,
  type ServerPlan,
  type TlsVersion,
} from './ftp/server-kind.js';
import { configureVsftpd } from './ftp/vsftpd.js';
import { freePort } from './ports.js';
import type { RunningProcess } from './processes.js';

export type FtpServerKind = 'vsftpd' | 'proftpd' | 'pure-ftpd';

export interface FtpServerOptions {
  /** User name → subfolder of `folder` that it sees as `/`; default: one user, who sees `folder`. */
  readonly users?: Readonly<Record<string, string>>;
  /** PEM of a CA: a client must show a certificate that it signed. */
  readonly requireClientCertificate?: string;
  /** Default: both. */
  readonly tlsVersions?: readonly TlsVersion[];
  /** Whether a data connection must resume the TLS session of the control connection; default true. */
  readonly requireSessionReuse?: boolean;
  /** Control connections at once; one more is turned away. */
  readonly maxClients?: number;
  /** What an account may upload, all in all; vsftpd knows no quota, so there it is that of the disk. */
  readonly quotaBytes?: number;
  /** Size of the disk that `folder` is on; default: the machine's. Rounded up to 4096. */
  readonly diskBytes?: number;
  /** Of each data connection, either way. */
  readonly bytesPerSecond?: number;
  readonly certificate?: CertificateOptions;
}

export interface FtpAccount {
  readonly user: string;
  readonly password: string;
  /** What it sees as `/`. */
  readonly folder: string;
}

export interface FtpServer extends FtpAccount {
  readonly kind: FtpServerKind;
  readonly host: '127.0.0.1';
  readonly port: number;
  /** The ports of its data connections. */
  readonly passivePorts: readonly number[];
  /** By user name. `user` and `password` are those of the first. */
  readonly users: Readonly<Record<string, FtpAccount>>;
  /** PEM */
  readonly certificate: string;
  /** SHA-256 of the certificate, 64 lower hex digits, no colons. */
  readonly fingerprint: string;
  /** PEM file of the CA that signed it; of the certificate itself when nobody did. */
  readonly caFile: string;
  /** Gives a file or folder that the test made below `folder` to the accounts, so that they may change it. */
  give(path: string): Promise<void>;
  /** What it said and logged so far, FTP commands included. */
  output(): string;
  /** SIGKILL to the server and all its sessions; resolves when they are gone. The files stay. */
  kill(): Promise<void>;
  /** Starts it again, on the same ports with the same files; kills it before, if need be. */
  restart(): Promise<void>;
  /** Kills it and removes its files. May be called again. */
  stop(): Promise<void>;
}

const CONFIGURE: Readonly<Record<FtpServerKind, (plan: ServerPlan) => Promise<ServerCommand>>> = {
  vsftpd: configureVsftpd,
  proftpd: configureProftpd,
  'pure-ftpd': configurePureFtpd,
};

/** Enough for a few clients with a few transfers each. */
const PASSIVE_PORTS = 16;
/** Ports are guessed, so they may be taken. */
const START_ATTEMPTS = 3;

/** @throws Error with its log when it does not come up */
export async function startFtpServer(
  kind: FtpServerKind,
  options: FtpServerOptions = {},
): Promise<FtpServer> {
  for (let attempt = 1; ; attempt += 1) {
    const folder = await mkdtemp(join(tmpdir(), `drawbridge-${kind}-`));
    try {
      return await start(kind, folder, options);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      if (attempt === START_ATTEMPTS) throw error;
    }
  }
}

async function start(kind: FtpServerKind, folder: string, options: FtpServerOptions): Promise<FtpServer> {
  // The sessions run as nobody.
  await chmod(folder, 0o755);
  const root = join(folder, 'root');
  await mkdir(root);
  const certificate = await makeServerCertificate(folder, options.certificate);
  const accounts = await makeAccounts(folder, root, options.users ?? { drawbridge: '' });
  const plan = await makePlan(folder, accounts, certificate, options);
  const command = await CONFIGURE[kind](plan);
  const diskBytes = options.diskBytes ?? (kind === 'vsftpd' ? options.quotaBytes : undefined);
  const holder = await holdMounts(folder, root, command, diskBytes);
  // Nobody but the server and its holder sees what is mounted; through the holder we do too.
  const visible = diskBytes === undefined ? '' : `/proc/${holder.pid}/root`;
  const homes = accounts.map(({ home }) => visible + home);
  for (const home of [visible + root, ...homes]) {
    await mkdir(home, { recursive: true });
    await chown(home, OWNER.uid, OWNER.gid);
  }
  let running: RunningProcess | undefined;
  let earlier = '';
  const serve = () => startEnclosed(holder, folder, plan.port, command);
  const kill = async () => {
    if (running === undefined) return;
    await killEnclosed(running);
    earlier += running.output();
    running = undefined;
  };
  try {
    running = await serve();
  } catch (error) {
    const logged = readLogs(command.logs);
    await holder.stop();
    throw new Error(`${error instanceof Error ? error.message : error}\n${logged}`, { cause: error });
  }
  const users = accounts.map(({ user, password, home }) => ({ user, password, folder: visible + home }));
  const [first] = accounts;
  return {
    kind,
    host: '127.0.0.1',
    port: plan.port,
    passivePorts: plan.passivePorts,
    user: first?.user ?? '',
    password: first?.password ?? '',
    folder: visible + root,
    users: Object.fromEntries(users.map((account) => [account.user, account])),
    certificate: certificate.certificate,
    fingerprint: certificate.fingerprint,
    caFile: certificate.caFile,
    give: (path) => chown(path, OWNER.uid, OWNER.gid),
    output: () => `${earlier}${running?.output() ?? ''}${readLogs(command.logs)}`,
    kill,
    async restart() {
      await kill();
      running = await serve();
    },
    async stop() {
      await kill();
      await holder.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function makeAccounts(
  folder: string,
  root: string,
  users: Readonly<Record<string, string>>,
): Promise<readonly Account[]> {
  return Promise.all(
    Object.entries(users).map(async ([user, subfolder]) => {
      const password = randomBytes(12).toString('hex');
      const passwordHash = await hashPassword(folder, password);
      return { user, password, passwordHash, home: join(root, subfolder) };
    }),
  );
}

async function makePlan(
  folder: string,
  accounts: readonly Account[],
  { certificateFile, keyFile }: ServerCertificate,
  options: FtpServerOptions,
): Promise<ServerPlan> {
  const clientCaFile = join(folder, 'client-ca.pem');
  const clientCa = options.requireClientCertificate;
  if (clientCa !== undefined) await writeFile(clientCaFile, clientCa);
  return {
    port: await freePort(),
    passivePorts: await freePortRange(PASSIVE_PORTS),
    folder,
    accounts,
    certificateFile,
    keyFile,
    clientCaFile: clientCa === undefined ? undefined : clientCaFile,
    tlsVersions: options.tlsVersions ?? ['1.2', '1.3'],
    requireSessionReuse: options.requireSessionReuse ?? true,
    maxClients: options.maxClients,
    quotaBytes: options.quotaBytes,
    bytesPerSecond: options.bytesPerSecond,
  };
}

function readLogs(files: readonly string[]): string {
  return files
    .map((file) => {
      try {
        return readFileSync(file, 'utf8');
      } catch {
        return '';
      }
    })
    .join('');
}

/** What a kind of FTP server is told, and what it makes of that: the words between ftp-servers.ts and each server. */

export type TlsVersion = '1.2' | '1.3';

/** Everything that a server's configuration is made from; all paths are absolute. */
export interface ServerPlan {
  readonly port: number;
  /** Contiguous, ascending. */
  readonly passivePorts: readonly number[];
  /** Where configuration and log go; only root may write here. */
  readonly folder: string;
  readonly accounts: readonly Account[];
  /** PEM: the certificate, then what it is signed by. */
  readonly certificateFile: string;
  /** PEM */
  readonly keyFile: string;
  /** PEM: who has signed the certificate that a client must show; undefined: none is asked for. */
  readonly clientCaFile: string | undefined;
  readonly tlsVersions: readonly TlsVersion[];
  readonly requireSessionReuse: boolean;
  readonly maxClients: number | undefined;
  /** Of each account. */
  readonly quotaBytes: number | undefined;
  readonly bytesPerSecond: number | undefined;
}

export interface Account {
  readonly user: string;
  readonly password: string;
  /** As crypt(3) writes it, SHA-512. */
  readonly passwordHash: string;
  /** What the account sees as `/`. */
  readonly home: string;
}

export interface ServerCommand {
  /** Program and arguments; it stays in the foreground. */
  readonly line: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Files or folders, by the path in whose place the server, and nobody else, sees them. */
  readonly mounts?: Readonly<Record<string, string>>;
  /** The files that it writes its log to. */
  readonly logs: readonly string[];
}

/** Every file of an account belongs to `nobody`: Pure-FTPd and vsftpd let nobody in as root. */
export const OWNER = { uid: 65_534, gid: 65_534 };

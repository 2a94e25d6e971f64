/**
 * One control connection (RFC 959, RFC 4217): encrypted and verified before user and password are said, its data
 * connections encrypted too, or it is not used. Knows commands and replies, nothing of envelopes.
 */
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { Client, FTPError, type FTPResponse } from 'basic-ftp';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { checkCertificate, tlsOptions } from './certificate.js';
import { classifyFtpError, classifyReply, loginRefused, type Reply, verbOf } from './classify.js';
import { DEFAULT_TIMEOUTS, type FtpsOptions, type FtpsTimeouts } from './options.js';

/** Small enough that a firewall does not forget a control connection on which nothing is said during a transfer. */
const KEEP_ALIVE_MS = 30_000;

/** How long a piece of work may take to notice that its connection is closed. */
const CLEAN_UP_MS = 5_000;

/** The two answers to a command that moves data. */
export interface TransferReplies {
  /** The server is ready (1yz). Rejects when it refuses. */
  readonly started: Promise<void>;
  /** What it says in the end, be it yes or no. Rejects only when the connection breaks. */
  readonly ended: Promise<Reply>;
}

export class FtpsConnection {
  readonly options: FtpsOptions;
  readonly timeouts: FtpsTimeouts;
  /** What the server says it can do (RFC 2389), in upper case. */
  features: ReadonlySet<string> = new Set();
  /** The server knows no EPSV, or no SIZE. */
  readonly lacks = new Set<'EPSV' | 'SIZE'>();
  readonly #client: Client;
  readonly #lost: Promise<never>;
  #lose: (reason: GatewayError) => void = () => undefined;
  #reason: GatewayError | undefined;
  #data: Socket | undefined;

  private constructor(options: FtpsOptions) {
    this.options = options;
    this.timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.#client = new Client(this.timeouts.replyMs);
    this.#lost = new Promise((_, reject) => {
      this.#lose = reject;
    });
    this.#lost.catch(() => undefined);
  }

  /**
   * A connection that is logged in.
   * @throws PEER_UNREACHABLE, PEER_BUSY, PEER_UNTRUSTED, PEER_REFUSED, CANCELLED
   */
  static async open(options: FtpsOptions, signal: AbortSignal): Promise<FtpsConnection> {
    const connection = new FtpsConnection(options);
    try {
      await connection.during(signal, async () => {
        await connection.#connect();
        await connection.#logIn();
        await connection.#agree();
      });
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  get closed(): boolean {
    return this.#reason !== undefined || this.#client.closed;
  }

  /** The address that the server has, and its data connections must have. */
  get remoteAddress(): string | undefined {
    return this.#client.ftp.socket.remoteAddress;
  }

  /** The TLS session that data connections go on with. */
  get session(): Buffer | undefined {
    const { socket, tlsSessionStore } = this.#client.ftp;
    return tlsSessionStore ?? (socket instanceof TLSSocket ? socket.getSession() : undefined);
  }

  /** A ticket of TLS 1.3 is good for one connection; servers give a new one with each. */
  renewSession(session: Buffer): void {
    this.#client.ftp.tlsSessionStore = session;
  }

  /** Ends it at once, and all that waits for it. @param reason what those who wait are told */
  close(reason = new GatewayError('PEER_UNREACHABLE', 'the connection is closed')): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#lose(reason);
    this.#data?.destroy(reason);
    this.#client.close();
  }

  /** The socket of the transfer that is going on, which ends with this connection. */
  adopt(socket: Socket): void {
    this.#data = socket;
    if (this.#reason !== undefined) socket.destroy(this.#reason);
  }

  /** Does `work`, and closes when it is told to stop. @throws CANCELLED when it was */
  async during<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const stop = () => this.close(new GatewayError('CANCELLED', 'the transfer was stopped'));
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    const working = signal.aborted ? this.#lost : work();
    try {
      return await this.orLost(working);
    } catch (error) {
      // Until files are closed that it wrote to.
      await Promise.race([working.catch(() => undefined), pause(CLEAN_UP_MS, undefined, { ref: false })]);
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** What `work` gives, unless the connection is closed before. */
  async orLost<T>(work: Promise<T>): Promise<T> {
    try {
      return await Promise.race([work, this.#lost]);
    } finally {
      work.catch(() => undefined);
    }
  }

  /** Any reply is a result. @throws PEER_UNREACHABLE, PEER_BUSY when the server hangs up (421) */
  async ask(command: string): Promise<Reply> {
    const doing = verbOf(command);
    try {
      const { code, message } = await this.#client.sendIgnoringError(command);
      if (code === 421) throw classifyReply({ code, message }, doing);
      return { code, message };
    } catch (error) {
      throw this.#classify(error, doing);
    }
  }

  /** @throws what `classifyReply` makes of a reply that says no */
  async order(command: string): Promise<Reply> {
    const reply = await this.ask(command);
    if (reply.code >= 400) throw classifyReply(reply, verbOf(command));
    return reply;
  }

  /** A command whose data go over another connection; how long they take is not watched here. */
  begin(command: string): TransferReplies {
    const doing = verbOf(command);
    const { ftp } = this.#client;
    let begun = false;
    let start: () => void = () => undefined;
    const preliminary = new Promise<void>((resolve) => {
      start = resolve;
    });
    const final: Promise<Reply> = ftp.handle(command, (answer, task) => {
      if (answer instanceof Error && !(answer instanceof FTPError)) return task.reject(answer);
      const reply: FTPResponse = answer;
      if (reply.code >= 200) return task.resolve({ code: reply.code, message: reply.message });
      // Some servers send several of these, and not all before the data.
      if (!begun) ftp.socket.setTimeout(0);
      begun = true;
      start();
    });
    const ended = final.catch((error: unknown) => {
      throw this.#classify(error, doing);
    });
    const refused = ended.then((reply) => {
      if (reply.code >= 300) throw classifyReply(reply, doing);
    });
    const started = Promise.race([preliminary, refused]);
    for (const promise of [ended, refused, started]) promise.catch(() => undefined);
    return { started, ended };
  }

  /** From now on a transfer must be answered within this many milliseconds. */
  expectReply(milliseconds: number): void {
    this.#client.ftp.socket.setTimeout(milliseconds);
  }

  async #connect(): Promise<void> {
    const { host, port, trust } = this.options;
    await this.#within(this.#client.connect(host, port), 'the connection');
    try {
      await this.#within(this.#client.useTLS(tlsOptions(this.options)), 'AUTH TLS');
    } catch (error) {
      if (
        isGatewayError(error) &&
        typeof error.facts['reply'] === 'number' &&
        error.code === 'PEER_REFUSED'
      ) {
        throw notEncrypted('AUTH TLS', error.facts['reply']);
      }
      throw error;
    }
    const { socket } = this.#client.ftp;
    if (!(socket instanceof TLSSocket)) throw new GatewayError('FAULT', 'the connection is not encrypted');
    checkCertificate(socket, trust, false);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
  }

  async #logIn(): Promise<void> {
    const { user, password } = this.options;
    const secret = typeof password === 'string' ? password : await password();
    checkCredential(user);
    checkCredential(secret);
    let reply = await this.ask(`USER ${user}`);
    if (reply.code === 331) reply = await this.ask(`PASS ${secret}`);
    if (reply.code === 530 || reply.code === 332 || reply.code === 430) throw loginRefused(reply);
    if (reply.code >= 300) throw classifyReply({ code: reply.code, message: '' }, 'the login');
  }

  async #agree(): Promise<void> {
    await this.ask('PBSZ 0');
    const prot = await this.ask('PROT P');
    if (prot.code >= 300) throw notEncrypted('PROT P', prot.code);
    await this.order('TYPE I');
    // RFC 2389 §3.2: one in each line between the first and the last.
    const lines = (await this.ask('FEAT')).message.split(/\r?\n/).slice(1, -1);
    this.features = new Set(lines.map((line) => verbOf(line.trim()).toUpperCase()));
    if (this.features.has('UTF8')) await this.ask('OPTS UTF8 ON');
  }

  /** @throws GatewayError PEER_UNREACHABLE when it takes longer than a connection may */
  async #within<T>(work: Promise<T>, what: string): Promise<T> {
    const { connectMs } = this.timeouts;
    const late = new GatewayError('PEER_UNREACHABLE', `${what} took longer than ${connectMs} ms`);
    const timer = setTimeout(() => this.close(late), connectMs);
    try {
      return await this.orLost(work);
    } catch (error) {
      throw this.#classify(error, what);
    } finally {
      clearTimeout(timer);
    }
  }

  #classify(error: unknown, doing: string): GatewayError {
    return this.#reason ?? classifyFtpError(error, doing);
  }
}

function notEncrypted(command: string, reply: number): GatewayError {
  const text = `the server answers ${reply} to ${command}, and nothing is sent to it unencrypted`;
  return new GatewayError('PEER_REFUSED', text, { facts: { reply, command } });
}

function checkCredential(text: string): void {
  if (/[\0-\x1f\x7f]/.test(text)) {
    throw new GatewayError('CONFIG_INVALID', 'user or password for the server has a control character');
  }
}

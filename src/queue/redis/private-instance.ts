/**
 * A Redis of our own: on a unix socket in the data folder, append-only, never evicting; started, watched, started
 * again when it dies, and stopped with the bridge.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { RedisOptions } from 'ioredis';
import { GatewayError } from '../../errors/gateway-error.js';
import type { Log } from '../../observe/log.js';
import { formatInstanceConfig, type InstanceFiles, prepareInstanceFiles } from './instance-files.js';
import { takeOver } from './orphan.js';
import { probeRedis } from './probe.js';
import { endProcess } from './process-identity.js';
import { programEnvironment, type ServerProgram } from './server-program.js';

const STOP_GRACE_MS = 10_000;
const PROBE_TIMEOUT_MS = 2_000;
const READY_POLL_MS = 20;
/** Reading a long append-only file takes a while. */
const READY_TIMEOUT_MS = 120_000;
const FIRST_RESTART_MS = 200;
const LONGEST_RESTART_MS = 30_000;
/** After so many starts in a row that end before Redis is ready, its data is taken to be unreadable. */
const STARTS_BEFORE_SETTING_ASIDE = 3;

export class PrivateInstance {
  readonly connection: RedisOptions;
  readonly #program: ServerProgram;
  readonly #files: InstanceFiles;
  readonly #log: Log;
  #child: ChildProcess | undefined;
  #failedStarts = 0;
  /** Ends when the bridge stops; until then it waits for Redis to end, and starts it again. */
  #watching: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();

  private constructor(program: ServerProgram, files: InstanceFiles, log: Log) {
    this.#program = program;
    this.#files = files;
    this.#log = log;
    this.connection = { path: files.socket };
  }

  /**
   * Resolves when Redis takes commands.
   * @param folder `<data>/redis`, ours alone
   * @throws STATE_INVALID when another bridge runs here; REDIS_UNAVAILABLE when Redis does not start
   */
  static async start(program: ServerProgram, folder: string, log: Log): Promise<PrivateInstance> {
    const files = await prepareInstanceFiles(folder);
    await takeOver(files, log);
    const instance = new PrivateInstance(program, files, log);
    try {
      while (!(await instance.#startOnce())) {
        if (instance.#failedStarts > STARTS_BEFORE_SETTING_ASIDE) {
          throw new GatewayError('REDIS_UNAVAILABLE', `the private Redis does not start; see ${files.log}`);
        }
      }
    } catch (error) {
      await instance.stop();
      throw error;
    }
    return instance;
  }

  /** Ends Redis: SIGTERM, which writes out its file, and SIGKILL after ten seconds. May be called again. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const pid = this.#child?.pid;
    if (pid !== undefined && this.#child?.exitCode === null && this.#child.signalCode === null) {
      await endProcess(pid, STOP_GRACE_MS);
    }
    await this.#watching;
    await rm(this.#files.owner, { force: true });
    await rm(this.#files.socket, { force: true });
  }

  /** True when Redis is ready and watched; false when it ended first. */
  async #startOnce(): Promise<boolean> {
    if (this.#failedStarts === STARTS_BEFORE_SETTING_ASIDE) await this.#setDataAside();
    await this.#writeConfig();
    if (this.#stopping.signal.aborted) return false;
    const env = programEnvironment(this.#program);
    const child = spawn(this.#program.command, [this.#files.config], {
      cwd: this.#files.folder,
      stdio: 'ignore',
      detached: false,
      ...(env === undefined ? {} : { env }),
    });
    this.#child = child;
    let ended = false;
    const end = new Promise<void>((resolve) => {
      // `error` instead of `exit`: it could not be run at all.
      for (const event of ['exit', 'error']) {
        child.once(event, () => {
          ended = true;
          resolve();
        });
      }
    });
    const isReady = await this.#becomesReady(() => ended);
    if (!isReady) {
      this.#failedStarts += 1;
      if (child.pid !== undefined && !ended) await endProcess(child.pid, STOP_GRACE_MS);
      return false;
    }
    this.#failedStarts = 0;
    this.#log.info({ event: 'redis.started', version: this.#program.version, pid: child.pid });
    this.#watching = end.then(() => this.#restart(child));
    return true;
  }

  /** Leaves alone what is there already: a disk that is full would take it away, and give nothing for it. */
  async #writeConfig(): Promise<void> {
    const { config } = this.#files;
    const text = formatInstanceConfig(this.#files);
    if ((await readFile(config, 'utf8').catch(() => undefined)) === text) return;
    await writeFile(config, text, { mode: 0o600 });
  }

  /** Redis answers from the moment it listens, but takes no commands until its data is read. */
  async #becomesReady(hasEnded: () => boolean): Promise<boolean> {
    const deadlineMs = Date.now() + READY_TIMEOUT_MS;
    while (!hasEnded() && !this.#stopping.signal.aborted && Date.now() < deadlineMs) {
      try {
        const facts = await probeRedis(this.connection, PROBE_TIMEOUT_MS);
        if (!facts.isLoading) return !hasEnded();
      } catch {
        // Not listening yet.
      }
      await pause(READY_POLL_MS);
    }
    return false;
  }

  async #restart(child: ChildProcess): Promise<void> {
    const how = child.signalCode ?? `code ${child.exitCode}`;
    for (let waitMs = FIRST_RESTART_MS; !this.#stopping.signal.aborted; waitMs *= 2) {
      this.#log.warn({ event: 'redis.ended', how, waitMs }, 'the private Redis ended; starting it again');
      try {
        await pause(Math.min(waitMs, LONGEST_RESTART_MS), undefined, { signal: this.#stopping.signal });
        if (await this.#startOnce()) return;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        this.#log.error(
          { event: 'redis.start_failed', reason: String(error) },
          'cannot start the private Redis',
        );
      }
    }
  }

  /** The disk is the truth: an unreadable to-do list is put away, and the jobs are made again from the records. */
  async #setDataAside(): Promise<void> {
    const aside = `${this.#files.data}.unreadable`;
    this.#log.error({ event: 'redis.data_set_aside', aside }, 'Redis cannot read its data; it starts empty');
    await rm(aside, { recursive: true, force: true });
    await rename(this.#files.data, aside);
    await prepareInstanceFiles(this.#files.folder);
  }
}

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../src/observe/log.js';
import { startRedis } from '../../src/queue/redis/ladder.js';
import type { RunningRedis } from '../../src/queue/redis/running-redis.js';
import { freePort } from '../support/ports.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

describe('configured Redis', () => {
  const toStop: RunningRedis[] = [];
  let server: Server | undefined;
  let sockets: Socket[] = [];
  let folder: string;
  let child: ChildProcess | undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'redis-'));
  });

  afterEach(async () => {
    await Promise.all(toStop.splice(0).map((running) => running.stop()));
    for (const socket of sockets.splice(0)) socket.destroy();
    server?.close();
    server = undefined;
    child?.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  const use = async (
    url: string,
    extra: { password?: string; tls?: { ca: Buffer } } = {},
  ): Promise<RunningRedis> => {
    const running = await startRedis({
      url,
      ...extra,
      dataDir: '/nowhere',
      allowDownload: false,
      log: silentLog,
    });
    toStop.push(running);
    return running;
  };

  /** A server that answers every command with the same INFO. */
  const scripted = async (info: string): Promise<string> => {
    sockets = [];
    const listening = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.on('data', () => socket.write(`$${Buffer.byteLength(info)}\r\n${info}\r\n`));
    });
    server = listening;
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const address = listening.address();
    return `redis://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  };

  it('too old: refuses with both versions', async () => {
    const url = await scripted('redis_version:6.0.16\r\n');
    await expect(use(url)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'redis.url leads to Redis 6.0.16, 6.2 or later is needed',
    });
  });

  it('not there yet: starts all the same, and says so', async () => {
    const running = await use(`redis://127.0.0.1:${await freePort()}`);
    expect(running).toMatchObject({ kind: 'configured', version: 'unknown' });
    expect(running.note).toContain('does not answer yet');
  });

  describeWith('redis', 'a real one', () => {
    const run = (args: readonly string[]): void => {
      child = spawn('redis-server', [...args, '--bind', '127.0.0.1', '--save', ''], {
        cwd: folder,
        stdio: 'ignore',
      });
    };

    /** Tries until the server listens. */
    const useWhenUp = (
      url: string,
      extra?: { password?: string; tls?: { ca: Buffer } },
    ): Promise<RunningRedis> =>
      until(async () => {
        const running = await use(url, extra);
        return running.version === 'unknown' ? undefined : running;
      });

    it('that may evict and has no append-only file: is used, with a warning for each', async () => {
      const port = await freePort();
      run(['--port', String(port), '--maxmemory-policy', 'allkeys-lru']);
      const running = await useWhenUp(`redis://127.0.0.1:${port}/2`);
      expect(running.connection).toMatchObject({ host: '127.0.0.1', port, db: 2 });
      expect(running.note).toContain('maxmemory-policy is allkeys-lru, it must be noeviction');
      expect(running.note).toContain('no append-only file');
    });

    it('with a password: refuses a wrong one, takes the right one from outside the URL', async () => {
      const port = await freePort();
      run(['--port', String(port), '--requirepass', 'open sesame', '--appendonly', 'yes']);
      await until(async () => {
        await expect(use(`redis://127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
        return true;
      });
      await expect(use(`redis://:wrong@127.0.0.1:${port}`)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: 'Redis refuses the user or password',
      });
      const running = await useWhenUp(`redis://127.0.0.1:${port}`, { password: 'open sesame' });
      expect(running.note).toBeUndefined();
    });

    it('over TLS: trusts the configured CA, and nobody else', async () => {
      const port = await freePort();
      const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
      const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
      const request = ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-keyout', key, '-out', certificate];
      execFileSync('openssl', [...request, ...subject], { stdio: 'ignore' });
      const tls = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-auth-clients', 'no'];
      run(['--port', '0', '--tls-port', String(port), ...tls]);
      const ca = await readFile(certificate);
      const running = await useWhenUp(`rediss://localhost:${port}`, { tls: { ca } });
      expect(running.version).toMatch(/^(Redis|Valkey) \d/);
      expect((await use(`rediss://localhost:${port}`)).note).toContain('does not answer yet');
    });

    it('that goes away and comes back empty: tells those who rebuild the jobs', async () => {
      const port = await freePort();
      run(['--port', String(port)]);
      const running = await useWhenUp(`redis://127.0.0.1:${port}`);
      const events: string[] = [];
      running.onDown(() => events.push('down'));
      running.onRestored(() => events.push('restored'));
      const redis = new Redis(running.connection);
      redis.on('error', () => {});
      await until(() => redis.exists('drawbridge:mark'));
      child?.kill('SIGKILL');
      await until(() => events.length === 1);
      run(['--port', String(port)]);
      await until(() => events.length === 2);
      redis.disconnect();
      expect(events).toEqual(['down', 'restored']);
    });
  });
});

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { silentLog } from '../../src/observe/log.js';
import { startRedis } from '../../src/queue/redis/ladder.js';
import { isAlive, startTimeOf } from '../../src/queue/redis/process-identity.js';
import type { RunningRedis } from '../../src/queue/redis/running-redis.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

describeWith('redis', 'private Redis', () => {
  let dataDir: string;
  const toStop: RunningRedis[] = [];
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'redis-'));
  });

  afterEach(async () => {
    await Promise.all(toStop.splice(0).map((running) => running.stop()));
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await rm(dataDir, { recursive: true, force: true });
  });

  const start = async (folder = dataDir): Promise<RunningRedis> => {
    const running = await startRedis({
      dataDir: folder,
      allowDownload: false,
      log: silentLog,
      rungs: ['private'],
    });
    toStop.push(running);
    return running;
  };

  const ask = async <T>(running: RunningRedis, question: (redis: Redis) => Promise<T>): Promise<T> => {
    const redis = new Redis(running.connection);
    redis.on('error', () => {});
    try {
      return await question(redis);
    } finally {
      redis.disconnect();
    }
  };

  const processIdOf = async (running: RunningRedis): Promise<number> =>
    Number(/process_id:(\d+)/.exec(await ask(running, (redis) => redis.info('server')))?.[1]);

  const exitOf = (child: ChildProcess): Promise<void> =>
    new Promise((resolve) => void child.once('exit', () => resolve()));

  it('is append-only, never evicts, listens on no port, and shuts others out', async () => {
    const running = await start();
    expect(running.kind).toBe('private');
    expect(running.version).toMatch(/^(Redis|Valkey) \d+\.\d+/);
    expect(running.note).toBeUndefined();
    const settings = ['appendonly', 'appendfsync', 'maxmemory-policy', 'port', 'save'];
    const values = await ask(running, (redis) =>
      Promise.all(settings.map(async (name) => ((await redis.config('GET', name)) as string[])[1])),
    );
    expect(values).toEqual(['yes', 'everysec', 'noeviction', '0', '']);
    expect((await stat(join(dataDir, 'redis'))).mode & 0o077).toBe(0);
    expect((await stat(join(dataDir, 'redis', 'redis.sock'))).mode & 0o077).toBe(0);
  });

  it('stopping ends the process, and the next start finds the data', async () => {
    const first = await start();
    const pid = await processIdOf(first);
    await ask(first, (redis) => redis.set('kept', 'yes'));
    await first.stop();
    await first.stop();
    expect(isAlive(pid)).toBe(false);
    const second = await start();
    expect(await ask(second, (redis) => redis.get('kept'))).toBe('yes');
  });

  it('killed: comes back by itself with its data, and says so', async () => {
    const running = await start();
    const events: string[] = [];
    running.onDown(() => events.push('down'));
    running.onRestored(() => events.push('restored'));
    await ask(running, (redis) => redis.set('kept', 'yes'));
    const pid = await processIdOf(running);
    process.kill(pid, 'SIGKILL');
    await until(() => events.length === 2);
    expect(events).toEqual(['down', 'restored']);
    expect(await ask(running, (redis) => redis.get('kept'))).toBe('yes');
    expect(await processIdOf(running)).not.toBe(pid);
  });

  it('killed and stopped at once: stays away', async () => {
    const running = await start();
    const pid = await processIdOf(running);
    process.kill(pid, 'SIGKILL');
    await running.stop();
    await expect(stat(join(dataDir, 'redis', 'redis.sock'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('data folder too deep for a socket: the socket lies in a short folder that only we may enter', async () => {
    const deep = join(dataDir, 'x'.repeat(60), 'y'.repeat(60));
    await mkdir(deep, { recursive: true });
    const running = await start(deep);
    const path = running.connection.path ?? '';
    expect(Buffer.byteLength(path)).toBeLessThan(104);
    expect((await stat(dirname(path))).mode & 0o077).toBe(0);
    expect(await ask(running, (redis) => redis.ping())).toBe('PONG');
    expect(await readdir(join(deep, 'redis', 'data'))).not.toEqual([]);
    await running.stop();
    await rm(dirname(path), { recursive: true });
  });

  it('data folder with blanks, quotes and umlauts: runs there', async () => {
    const odd = join(dataDir, 'Röntgen "Süd" \\ 1');
    await mkdir(odd);
    expect(await ask(await start(odd), (redis) => redis.ping())).toBe('PONG');
  });

  it('left over from a killed bridge: is ended, and its data is taken over', async () => {
    await (await start()).stop();
    const config = join(dataDir, 'redis', 'redis.conf');
    const orphan = spawn('redis-server', [config], { stdio: 'ignore' });
    children.push(orphan);
    const exit = exitOf(orphan);
    const left = { connection: { path: join(dataDir, 'redis', 'redis.sock') } } as RunningRedis;
    await until(() => ask(left, (redis) => redis.set('kept', 'yes')));
    await writeFile(join(dataDir, 'redis', 'owner.json'), '{"pid":999999999,"startTime":"1"}');
    const running = await start();
    await exit;
    expect(await processIdOf(running)).not.toBe(orphan.pid);
    expect(await ask(running, (redis) => redis.get('kept'))).toBe('yes');
  });

  it('left over and standing still: is recognised by its command line, and ended', async () => {
    await (await start()).stop();
    const orphan = spawn('redis-server', [join(dataDir, 'redis', 'redis.conf')], { stdio: 'ignore' });
    children.push(orphan);
    const exit = exitOf(orphan);
    await until(
      async () => Number(await readFile(join(dataDir, 'redis', 'redis.pid'), 'utf8')) === orphan.pid,
    );
    orphan.kill('SIGSTOP');
    // It cannot see SIGTERM while it stands still; it is continued so that this test does not take ten seconds.
    setTimeout(() => orphan.kill('SIGCONT'), 1_500);
    expect(await ask(await start(), (redis) => redis.ping())).toBe('PONG');
    await exit;
  });

  it('process id of the file now belongs to another program: that program is left alone', async () => {
    await (await start()).stop();
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    children.push(stranger);
    await writeFile(join(dataDir, 'redis', 'redis.pid'), `${stranger.pid}\n`);
    await start();
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
  });

  it('another bridge alive on the same data folder: refuses, and leaves its Redis alone', async () => {
    const running = await start();
    const pid = await processIdOf(running);
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    children.push(other);
    const owner = { pid: other.pid, startTime: await startTimeOf(other.pid ?? 0) };
    await writeFile(join(dataDir, 'redis', 'owner.json'), JSON.stringify(owner));
    await expect(start()).rejects.toMatchObject({ code: 'STATE_INVALID' });
    expect(await processIdOf(running)).toBe(pid);
  });

  it('killed bridge whose data folder is a symbolic link: its Redis is recognised all the same', async () => {
    const link = join(dataDir, 'link');
    await mkdir(join(dataDir, 'real'));
    await symlink(join(dataDir, 'real'), link);
    await (await start(link)).stop();
    const orphan = spawn('redis-server', [join(link, 'redis', 'redis.conf')], { stdio: 'ignore' });
    children.push(orphan);
    const exit = exitOf(orphan);
    const left = { connection: { path: join(link, 'redis', 'redis.sock') } } as RunningRedis;
    await until(() => ask(left, (redis) => redis.ping()));
    await rm(join(link, 'redis', 'redis.pid'));
    await start(link);
    await exit;
  });

  it('unreadable data: is set aside, and Redis starts empty', async () => {
    const first = await start();
    await ask(first, (redis) => redis.set('lost', 'yes'));
    await first.stop();
    const data = join(dataDir, 'redis', 'data', 'appendonlydir');
    for (const name of await readdir(data)) await writeFile(join(data, name), 'no such format\n'.repeat(100));
    const second = await start();
    expect(await ask(second, (redis) => redis.get('lost'))).toBeNull();
    expect(await readdir(join(dataDir, 'redis'))).toContain('data.unreadable');
  });
});

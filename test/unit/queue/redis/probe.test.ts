import { describe, expect, it } from 'vitest';
import { isRecentEnough, parseInfo } from '../../../../src/queue/redis/probe.js';

describe('probe', () => {
  it.each(['', 'x', '5.0.7', '6.0.16', '6.1.9'])('version %j is too old', (version) => {
    expect(isRecentEnough(version)).toBe(false);
  });

  it.each(['6.2', '6.2.0', '7.0.15', '8.10.1', '255.255.255'])('version %j will do', (version) => {
    expect(isRecentEnough(version)).toBe(true);
  });

  it('reads INFO of Redis', () => {
    const info =
      '# Server\r\nredis_version:7.0.15\r\nprocess_id:42\r\nloading:1\r\nmaxmemory_policy:noeviction\r\n';
    expect(parseInfo(`${info}aof_enabled:1\r\n`)).toEqual({
      version: 'Redis 7.0.15',
      isRecentEnough: true,
      isLoading: true,
      maxmemoryPolicy: 'noeviction',
      isAppendOnly: true,
      processId: 42,
    });
  });

  it('reads INFO of Valkey, which also names the Redis that it equals', () => {
    expect(parseInfo('redis_version:7.2.4\r\nvalkey_version:8.1.1\r\n')).toMatchObject({
      version: 'Valkey 8.1.1',
      isRecentEnough: true,
    });
  });

  it('an answer without a version is too old', () => {
    expect(parseInfo('hello')).toMatchObject({ version: 'Redis unknown', isRecentEnough: false });
  });
});

import { describe, expect, it } from 'vitest';
import { parseRedisUrl } from '../../../../src/queue/redis/configured.js';

describe('redis.url', () => {
  it.each(['', 'redis', 'http://host', 'redis://', 'redis://host/abc', 'redis://host/1/2'])(
    '%j is refused',
    (url) => {
      expect(() => parseRedisUrl(url)).toThrowError(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    },
  );

  it('a refusal never shows the password', () => {
    expect(() => parseRedisUrl('redis://:hunter2@host/abc')).toThrowError(
      expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
    );
  });

  it('host alone: the usual port, database 0, no user', () => {
    expect(parseRedisUrl('redis://cache.example')).toEqual({ host: 'cache.example', port: 6379, db: 0 });
  });

  it('all parts, percent-encoded', () => {
    expect(parseRedisUrl('redis://us%40er:p%3Aw@[::1]:7000/3')).toEqual({
      host: '::1',
      port: 7000,
      db: 3,
      username: 'us@er',
      password: 'p:w',
    });
  });

  it('a password from outside goes before that of the URL', () => {
    expect(parseRedisUrl('redis://:old@host', { password: 'new' })).toMatchObject({ password: 'new' });
  });

  it('rediss: TLS, with the name to expect and what is configured', () => {
    expect(parseRedisUrl('rediss://host', { tls: { ca: 'PEM' } })).toMatchObject({
      tls: { servername: 'host', ca: 'PEM' },
    });
  });
});

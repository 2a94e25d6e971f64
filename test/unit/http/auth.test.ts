import { scryptSync } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import {
  hashPassword,
  isSameOrigin,
  openSession,
  proofOf,
  sessionCookie,
  verifyPassword,
} from '../../../src/http/auth.js';

const NOW = Date.UTC(2026, 0, 5, 9);
const HOUR = 3_600_000;
const secrets = { sessionKey: Buffer.alloc(32, 1), apiToken: 'a-token-of-scripts' };

function request(headers: IncomingHttpHeaders, socket: object = {}): IncomingMessage {
  return { headers, socket } as IncomingMessage;
}

/** What a browser sends back of a Set-Cookie header. */
function cookieOf(setCookie: string): string {
  return setCookie.split(';')[0] ?? '';
}

describe('a password', () => {
  it('that is wrong does not verify, whatever the stored hash looks like', async () => {
    const stored = await hashPassword('correct horse');
    expect(await verifyPassword('correct horse ', stored)).toBe(false);
    expect(await verifyPassword('', stored)).toBe(false);
    const [, cost = '', salt = '', hash = ''] = stored.split('$');
    for (const broken of [
      '',
      'scrypt',
      'scrypt$$',
      'scrypt$$$',
      `scrypt$${salt}$${hash}`,
      `bcrypt${stored.slice(6)}`,
      `scrypt$${cost}$$${hash}`,
      `scrypt$ln=15,r=8,p=1$${salt}$${hash}`,
      stored.slice(0, -4),
    ]) {
      expect(await verifyPassword('correct horse', broken)).toBe(false);
    }
  });

  it('verifies against the hash of a cost that was usual earlier', async () => {
    const salt = Buffer.alloc(16, 7);
    const hash = scryptSync('correct horse', salt, 32, { N: 2 ** 10, r: 4, p: 2 });
    const stored = `scrypt$ln=10,r=4,p=2$${salt.toString('base64url')}$${hash.toString('base64url')}`;
    expect(await verifyPassword('correct horse', stored)).toBe(true);
    expect(await verifyPassword('correct horsf', stored)).toBe(false);
  });

  it('that is right verifies against a hash that is new each time', async () => {
    const [one, other] = await Promise.all([hashPassword('correct horse'), hashPassword('correct horse')]);
    expect(one).not.toBe(other);
    expect(await verifyPassword('correct horse', one)).toBe(true);
    expect(await verifyPassword('correct horse', other)).toBe(true);
  });
});

describe('a session', () => {
  const cookie = cookieOf(
    sessionCookie(request({}), secrets.sessionKey, openSession(secrets.sessionKey, NOW)),
  );

  it('without a signature, with a changed end, of another key, or over, proves nothing', () => {
    const [name = '', value = ''] = cookie.split('=');
    const [until = '', signature = ''] = value.split('.');
    const later = String(Number(until) + HOUR);
    for (const bad of [
      '',
      until,
      `${until}.`,
      `${later}.${signature}`,
      `.${signature}`,
      `${until}.${signature}x`,
    ]) {
      expect(proofOf(request({ cookie: `${name}=${bad}` }), secrets, NOW), bad).toBeUndefined();
    }
    const otherKey = { ...secrets, sessionKey: Buffer.alloc(32, 2) };
    expect(proofOf(request({ cookie }), otherKey, NOW)).toBeUndefined();
    expect(proofOf(request({ cookie }), secrets, NOW + 12 * HOUR)).toBeUndefined();
  });

  it('of ours holds for twelve hours, among other cookies too', () => {
    expect(proofOf(request({ cookie: `theme=dark; ${cookie}; x=y` }), secrets, NOW + 11 * HOUR)).toBe(
      'cookie',
    );
  });

  it('has a name of its own on each bridge, since cookies know no ports', () => {
    const other = cookieOf(sessionCookie(request({}), Buffer.alloc(32, 2), 'value'));
    expect(other.split('=')[0]).not.toBe(cookie.split('=')[0]);
  });

  it('is kept from scripts and other sites, and from plain HTTP where there is TLS', () => {
    const plain = sessionCookie(request({}), secrets.sessionKey, 'value');
    expect(plain).toMatch(/; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/);
    for (const secure of [request({ 'x-forwarded-proto': 'https' }), request({}, { encrypted: true })]) {
      expect(sessionCookie(secure, secrets.sessionKey, 'value')).toMatch(/; Secure$/);
    }
    expect(sessionCookie(request({}), secrets.sessionKey, '')).toContain('Max-Age=0;');
  });
});

describe('a token', () => {
  it('that is wrong proves nothing, even beside a good cookie', () => {
    const cookie = cookieOf(
      sessionCookie(request({}), secrets.sessionKey, openSession(secrets.sessionKey, NOW)),
    );
    for (const token of ['a-token-of-script', 'a-token-of-scripts2', 'A-TOKEN-OF-SCRIPTS']) {
      expect(proofOf(request({ authorization: `Bearer ${token}`, cookie }), secrets, NOW)).toBeUndefined();
    }
  });

  it('that is right proves a script', () => {
    expect(proofOf(request({ authorization: 'Bearer a-token-of-scripts' }), secrets, NOW)).toBe('token');
  });
});

describe('a request that changes something', () => {
  it.each<[string, IncomingHttpHeaders, boolean]>([
    [
      'from another site',
      { 'sec-fetch-site': 'cross-site', origin: 'https://a.example', host: 'a.example' },
      false,
    ],
    ['from another port of this host', { 'sec-fetch-site': 'same-site' }, false],
    ['from nowhere', { host: 'a.example' }, false],
    ['from a sandboxed frame', { origin: 'null', host: 'a.example' }, false],
    ['from another origin, by an old browser', { origin: 'https://b.example', host: 'a.example' }, false],
    ['from our own page', { 'sec-fetch-site': 'same-origin' }, true],
    ['from our own page, by an old browser', { origin: 'https://a.example', host: 'a.example' }, true],
  ])('%s', (_title, headers, expected) => {
    expect(isSameOrigin(request(headers))).toBe(expected);
  });
});

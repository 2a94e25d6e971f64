/**
 * Who may use the dashboard and its API: a password for people, which opens a session, and a token for scripts. The
 * session is a signed cookie that says until when it holds; nothing is kept on the server.
 */
import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** What a hash of RFC 7914 costs: N is two to the power of `logN`. */
interface Cost {
  readonly logN: number;
  readonly r: number;
  readonly p: number;
}

const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** 16 MiB and a fifth of a second for each guess: as strong as one pass over 64 MiB or more, and no burden at a login. */
const COST: Cost = { logN: 14, r: 8, p: 5 };
const MAX_MEMORY_BYTES = 128 * 1024 * 1024;
const STORED = /^scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([\w-]+)\$([\w-]+)$/;
const SESSION_MS = 12 * 3600 * 1000;

/** `scrypt$ln=14,r=8,p=5$<salt>$<hash>`, base64url: it says itself how it was made, so the cost can rise later. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, COST);
  const { logN, r, p } = COST;
  return `scrypt$ln=${logN},r=${r},p=${p}$${salt.toString('base64url')}$${hash.toString('base64url')}`;
}

export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const [, logN, r, p, salt, hash] = STORED.exec(stored) ?? [];
  if (salt === undefined || hash === undefined) return false;
  const cost = { logN: Number(logN), r: Number(r), p: Number(p) };
  const derived = await derive(password, Buffer.from(salt, 'base64url'), cost);
  return equal(derived, Buffer.from(hash, 'base64url'));
}

/** The value of a new session's cookie. */
export function openSession(key: Buffer, nowMs: number): string {
  const untilMs = String(nowMs + SESSION_MS);
  return `${untilMs}.${sign(key, untilMs)}`;
}

/** The Set-Cookie header of a session, or, with an empty value, of its end; `Secure` when the page came by https. */
export function sessionCookie(request: IncomingMessage, key: Buffer, value: string): string {
  const maxAge = value === '' ? 0 : SESSION_MS / 1000;
  const secure = isHttps(request) ? '; Secure' : '';
  return `${cookieName(key)}=${value}; Path=/; Max-Age=${maxAge}; HttpOnly; SameSite=Strict${secure}`;
}

/** Cookies know no ports: two bridges on one machine must not end each other's sessions. */
function cookieName(key: Buffer): string {
  return `drawbridge-${createHmac('sha256', key).update('cookie').digest('hex').slice(0, 8)}`;
}

/** Behind a proxy that ends TLS it says so; a caller who claims it falsely only loses the own cookie. */
function isHttps(request: IncomingMessage): boolean {
  return 'encrypted' in request.socket || request.headers['x-forwarded-proto'] === 'https';
}

/** How a request proves itself; `cookie` needs a guard against forged requests, `token` does not. */
export function proofOf(
  request: IncomingMessage,
  secrets: { readonly sessionKey: Buffer; readonly apiToken: string },
  nowMs: number,
): 'token' | 'cookie' | undefined {
  const bearer = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (bearer !== undefined) {
    return equal(Buffer.from(bearer), Buffer.from(secrets.apiToken)) ? 'token' : undefined;
  }
  const pattern = new RegExp(`(?:^|; )${cookieName(secrets.sessionKey)}=([^;]+)`);
  const cookie = pattern.exec(request.headers.cookie ?? '')?.[1];
  const [untilMs, signature] = cookie?.split('.') ?? [];
  if (untilMs === undefined || signature === undefined) return undefined;
  const isOurs = equal(Buffer.from(signature), Buffer.from(sign(secrets.sessionKey, untilMs)));
  return isOurs && Number(untilMs) > nowMs ? 'cookie' : undefined;
}

/**
 * Whether a request that changes something comes from our own pages: by Fetch Metadata, or by Origin, since browsers
 * send the former to trustworthy addresses only, which plain HTTP to another machine is not.
 */
export function isSameOrigin(request: IncomingMessage): boolean {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin';
  const { origin, host } = request.headers;
  return origin !== undefined && URL.canParse(origin) && new URL(origin).host === host;
}

function sign(key: Buffer, text: string): string {
  return createHmac('sha256', key).update(`session ${text}`).digest('base64url');
}

function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function derive(password: string, salt: Buffer, { logN, r, p }: Cost): Promise<Buffer> {
  const options = { N: 2 ** logN, r, p, maxmem: MAX_MEMORY_BYTES };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, options, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

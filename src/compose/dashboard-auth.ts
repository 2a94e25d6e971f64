/** The dashboard's password (as a hash), the key of its sessions, and the token of scripts on this machine. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { GatewayError } from '../errors/gateway-error.js';
import { hashPassword } from '../http/auth.js';
import { createFileDurably } from '../spool/atomic.js';
import { readApiToken } from '../trust/site-keys.js';

const FILE = 'dashboard.json';
const SESSION_KEY_BYTES = 32;

const schema = z.strictObject({ passwordHash: z.string(), sessionKey: z.base64() });

export interface DashboardAuth {
  readonly passwordHash: string;
  readonly sessionKey: Buffer;
  readonly apiToken: string;
}

/**
 * Makes a password where there is none yet.
 * @returns the password, to be shown once; undefined when there was one
 */
export async function ensureDashboardPassword(keysFolder: string): Promise<string | undefined> {
  const path = join(keysFolder, FILE);
  // To hash one for nothing would cost each start its time and memory.
  if (existsSync(path)) return undefined;
  const password = randomBytes(12).toString('base64url');
  const document = {
    passwordHash: await hashPassword(password),
    sessionKey: randomBytes(SESSION_KEY_BYTES).toString('base64'),
  };
  const created = await createFileDurably(path, `${JSON.stringify(document)}\n`);
  return created ? password : undefined;
}

/** @throws KEY_UNREADABLE */
export async function readDashboardAuth(keysFolder: string): Promise<DashboardAuth> {
  try {
    const document = schema.parse(JSON.parse(await readFile(join(keysFolder, FILE), 'utf8')));
    return {
      passwordHash: document.passwordHash,
      sessionKey: Buffer.from(document.sessionKey, 'base64'),
      apiToken: await readApiToken(keysFolder),
    };
  } catch (cause) {
    throw new GatewayError(
      'KEY_UNREADABLE',
      `${join(keysFolder, FILE)} cannot be read; remove it for a new password`,
      {
        cause,
      },
    );
  }
}

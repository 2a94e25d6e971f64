/**
 * User identity of an association request (PS3.7 §D.3.3.7): user names, with or without a passcode, are checked against
 * the configured ones where there are any. Kerberos tickets, SAML assertions and web tokens are not looked into.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { plainText } from '../domain/plain-text.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { UserIdentity } from './user-items.js';

export interface User {
  readonly name: string;
  /** Holds the password; absent: the name is enough. */
  readonly passwordFile?: string | undefined;
}

export interface UserPolicy {
  /** None: names are not checked. */
  readonly users: readonly User[];
  /** Nobody gets in without a user name that is one of `users`. */
  readonly required: boolean;
}

/** Whom an association is for, as far as we know. */
export interface KnownUser {
  /** As given, on one line and cut to a length; absent with tickets, assertions and tokens. */
  readonly name?: string;
  /** Server response of our answer (59H); absent where none is due. */
  readonly response?: Buffer;
}

const USER_NAME = 1;
const USER_NAME_AND_PASSCODE = 2;
/** Names of the types that are not user names (PS3.7 Table D.3-14). */
const OTHER_TYPES: Readonly<Record<number, string>> = {
  3: 'a Kerberos service ticket',
  4: 'a SAML assertion',
  5: 'a JSON Web Token',
};
const SHOWN_NAME_LENGTH = 64;
/** A file that is longer than any passcode can be is none. */
const MAX_PASSWORD_BYTES = 0xffff;

/** Compared are keyed hashes: of equal length, and telling nothing by the time that it takes. */
const HASH_KEY = randomBytes(32);

/**
 * @param identity absent when the request has none
 * @returns undefined when nobody is named, and nobody need be
 * @throws USER_UNKNOWN with the reason; never with a password
 */
export async function checkUserIdentity(
  policy: UserPolicy,
  identity: UserIdentity | undefined,
  log: Log,
): Promise<KnownUser | undefined> {
  if (identity === undefined) {
    if (policy.required) throw unknown('no user name is given, and one is required');
    return undefined;
  }
  if (identity.type !== USER_NAME && identity.type !== USER_NAME_AND_PASSCODE) {
    const what = OTHER_TYPES[identity.type] ?? `a user identity of type ${identity.type}`;
    if (policy.required) throw unknown(`${what} is given, and a user name is required`);
    log.info({ event: 'user.unchecked', type: identity.type }, `${what} is given, and is not checked`);
    // No response: it would say that we had looked at it.
    return {};
  }
  const name = identity.primary.toString('utf8');
  if (policy.users.length > 0) await checkUser(policy.users, name, identity, log);
  return {
    name: plainText(name, SHOWN_NAME_LENGTH),
    ...(identity.responseRequested ? { response: Buffer.alloc(0) } : {}),
  };
}

async function checkUser(
  users: readonly User[],
  name: string,
  identity: UserIdentity,
  log: Log,
): Promise<void> {
  const shown = plainText(name, SHOWN_NAME_LENGTH);
  const user = users.find((each) => isSame(Buffer.from(each.name), identity.primary));
  if (user === undefined) throw unknown(`the user ${shown} is not one of dimse.users`);
  if (user.passwordFile === undefined) return;
  if (identity.type === USER_NAME) throw unknown(`the user ${shown} gives no password`);
  if (!isSame(await readPassword(user.passwordFile, log), identity.secondary)) {
    throw unknown(`the password of the user ${shown} is wrong`);
  }
}

/** Read at each check, so that a new password counts at once. */
async function readPassword(path: string, log: Log): Promise<Buffer> {
  try {
    const bytes = await readFile(path);
    let end = bytes.length;
    // Editors end files with a line feed.
    if (bytes[end - 1] === 0x0a) end -= 1;
    if (bytes[end - 1] === 0x0d) end -= 1;
    if (end > 0 && end <= MAX_PASSWORD_BYTES) return bytes.subarray(0, end);
    throw unknown('the file with the password of this user is empty, or too long for one');
  } catch (error) {
    const failure = isGatewayError(error)
      ? error
      : new GatewayError('USER_UNKNOWN', 'the file with the password of this user cannot be read', {
          cause: error,
        });
    log.error({ event: 'user.password_unreadable', path }, failure.message);
    throw failure;
  }
}

function isSame(a: Buffer, b: Buffer): boolean {
  const hash = (bytes: Buffer) => createHmac('sha256', HASH_KEY).update(bytes).digest();
  return timingSafeEqual(hash(a), hash(b));
}

function unknown(message: string): GatewayError {
  return new GatewayError('USER_UNKNOWN', message);
}

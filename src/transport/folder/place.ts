/**
 * A shared folder that may not be there: a disk that is not plugged in, a share that is not mounted. It is never made
 * here, or envelopes would fill the system disk below an empty mount point and nobody would find them.
 */
import type { Stats } from 'node:fs';
import { lstat, open, readdir, stat } from 'node:fs/promises';
import { GatewayError } from '../../errors/gateway-error.js';
import { type ExchangeEntry, parseExchangeName } from '../exchange-names.js';
import { classifyFolderError, errnoOf } from './classify.js';

/** A share whose server has gone can keep a call for minutes. */
const ANSWER_TIMEOUT_MS = 30_000;

/** File systems that cannot sync a folder say so in many ways; that they cannot is no failure. */
const CANNOT_SYNC = new Set([
  'EINVAL',
  'EISDIR',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EACCES',
  'EPERM',
  'EBADF',
]);

export interface Place {
  readonly path: string;
  /**
   * Begins every use of the folder.
   * @throws PEER_UNREACHABLE when it is not there or does not answer within 30 s; PEER_REFUSED; CANCELLED
   */
  enter(signal: AbortSignal): Promise<void>;
}

/** @param role what the folder is called in messages */
export function createPlace(path: string, role: 'outbox' | 'inbox'): Place {
  // Calls to a dead share wait in the few threads that all files of the process go through: one of them, no more.
  let asking: Promise<Stats> | undefined;
  const ask = (): Promise<Stats> => {
    if (asking !== undefined) return asking;
    const question = stat(path);
    asking = question;
    const forget = () => {
      asking = undefined;
    };
    question.then(forget, forget);
    return question;
  };
  return {
    path,
    async enter(signal) {
      const found = await answerOf(ask(), signal).catch((error: unknown) => {
        if (errnoOf(error) !== 'ENOENT') throw classifyFolderError(error, signal);
        const text = `the ${role} folder is not there, it may be a disk or share that is not mounted: ${path}`;
        throw new GatewayError('PEER_UNREACHABLE', text, { cause: error });
      });
      if (!found.isDirectory())
        throw new GatewayError('PEER_REFUSED', `the ${role} is not a folder: ${path}`);
    },
  };
}

/** What happens first: the answer, the abort, the end of patience. */
function answerOf<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new GatewayError('CANCELLED', 'stopped before it was done'));
    if (signal.aborted) {
      answer.catch(() => undefined);
      stop();
      return;
    }
    const late = () => {
      const text = `the folder did not answer within ${ANSWER_TIMEOUT_MS / 1000} s`;
      reject(new GatewayError('PEER_UNREACHABLE', text));
    };
    const timer = setTimeout(late, ANSWER_TIMEOUT_MS);
    signal.addEventListener('abort', stop, { once: true });
    answer.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    });
  });
}

/** The regular file of this name, no link followed; undefined when there is none. */
export async function fileAt(path: string): Promise<Stats | undefined> {
  try {
    const found = await lstat(path);
    return found.isFile() ? found : undefined;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** What lies in the folder under names of ours; never anything else. */
export async function exchangeEntries(
  folder: string,
): Promise<readonly (ExchangeEntry & { readonly name: string })[]> {
  const entries: (ExchangeEntry & { name: string })[] = [];
  for (const name of await readdir(folder)) {
    const entry = parseExchangeName(name);
    if (entry !== undefined) entries.push({ ...entry, name });
  }
  return entries;
}

/** Makes the names in a folder durable, where its file system can. */
export async function syncNames(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!CANNOT_SYNC.has(errnoOf(error))) throw error;
  }
}

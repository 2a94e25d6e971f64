/** Files on the server: sizes, names and lists, whatever the server has for them (RFC 959, RFC 3659). */

import type { TLSSocket } from 'node:tls';
import { type FileInfo, FileType, parseList } from 'basic-ftp';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { classifyReply } from './classify.js';
import type { FtpsConnection } from './connection.js';
import { transfer } from './transfer.js';

/** Some 50,000 names. */
const MAX_LISTING_BYTES = 8 * 1024 * 1024;

export interface RemoteFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** When it was last written, for putting in order: milliseconds, in a time zone that only the server knows. */
  readonly modified: number;
}

/** In bytes; undefined when there is no such file. */
export async function sizeOf(connection: FtpsConnection, path: string): Promise<number | undefined> {
  if (!connection.lacks.has('SIZE')) {
    const reply = await connection.ask(`SIZE ${path}`);
    const digits = /^213 +(\d{1,15})\b/.exec(reply.message)?.[1];
    if (reply.code === 213 && digits !== undefined) return Number(digits);
    if (reply.code === 550) return undefined;
    if (reply.code >= 400 && reply.code < 500) throw classifyReply(reply, 'SIZE');
    connection.lacks.add('SIZE');
  }
  const slash = path.lastIndexOf('/');
  const files = await listFiles(connection, path.slice(0, Math.max(slash, 0)));
  return files.find(({ name }) => name === path.slice(slash + 1))?.sizeBytes;
}

/**
 * Goes into a folder and back, since servers list one that is not there as an empty one, and tell nobody.
 * @throws PEER_REFUSED when there is no such folder, or this account may not see it
 */
async function assertFolder(connection: FtpsConnection, folder: string): Promise<void> {
  // RFC 959 §4.1.3, appendix II: the name in quotes, those in it doubled.
  const home = /^257[ -]"((?:[^"]|"")+)"/.exec((await connection.ask('PWD')).message)?.[1];
  const reply = await connection.ask(`CWD ${folder === '' ? '/' : folder}`);
  if (reply.code === 550) {
    throw new GatewayError(
      'PEER_REFUSED',
      `there is no folder ${folder} on the server, or we may not see it`,
      {
        facts: { reply: reply.code },
      },
    );
  }
  if (reply.code >= 400) throw classifyReply(reply, 'CWD');
  if (home !== undefined) await connection.order(`CWD ${home.replaceAll('""', '"')}`);
}

/**
 * Plain files only.
 * @throws PEER_REFUSED when there is no such folder, or it holds more than can be meant
 */
export async function listFiles(connection: FtpsConnection, folder: string): Promise<readonly RemoteFile[]> {
  await assertFolder(connection, folder);
  const verb = connection.features.has('MLST') ? 'MLSD' : 'LIST';
  const chunks: Buffer[] = [];
  let bytes = 0;
  await transfer(connection, {
    command: `${verb} ${folder === '' ? '/' : folder}`,
    direction: 'down',
    async move(socket: TLSSocket) {
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > MAX_LISTING_BYTES) {
          throw new GatewayError(
            'PEER_REFUSED',
            `the folder's list is longer than ${MAX_LISTING_BYTES} bytes`,
          );
        }
        chunks.push(chunk);
      }
    },
  });
  return parse(Buffer.concat(chunks).toString('utf8'))
    .filter(({ type }) => type === FileType.File)
    .map((file) => ({ name: file.name, sizeBytes: file.size, modified: modifiedOf(file) }));
}

function parse(text: string): readonly FileInfo[] {
  try {
    return parseList(text);
  } catch (error) {
    throw new GatewayError('PEER_REFUSED', 'the server lists its files in a way that is not known', {
      cause: error,
    });
  }
}

/** MLSD says it in UTC; LIST as `ls` does: `Nov 21 07:44`, or with the year when it is long ago. */
function modifiedOf({ modifiedAt, rawModifiedAt }: FileInfo): number {
  if (modifiedAt !== undefined) return modifiedAt.getTime();
  const [, day, year, time] = /^(\w{3} +\d{1,2}) +(?:(\d{4})|(\d{1,2}:\d{2}))$/.exec(rawModifiedAt) ?? [];
  if (day === undefined) return 0;
  if (year !== undefined) return Date.parse(`${day} ${year} UTC`) || 0;
  const now = new Date();
  const guess = Date.parse(`${day} ${now.getUTCFullYear()} ${time} UTC`) || 0;
  const tomorrow = now.getTime() + 24 * 3_600_000;
  return guess > tomorrow ? Date.parse(`${day} ${now.getUTCFullYear() - 1} ${time} UTC`) || 0 : guess;
}

/** False when there was nothing to rename, or not any more. @throws PEER_REFUSED when it is there and may not be */
export async function rename(connection: FtpsConnection, from: string, to: string): Promise<boolean> {
  const first = await connection.ask(`RNFR ${from}`);
  if (first.code === 550) return false;
  if (first.code >= 400) throw classifyReply(first, 'RNFR');
  const second = await connection.ask(`RNTO ${to}`);
  if (second.code < 300) return true;
  if ((await sizeOf(connection, from)) === undefined) return false;
  throw classifyReply(second, 'RNTO');
}

/** What is not there is no error. */
export async function remove(connection: FtpsConnection, path: string): Promise<void> {
  const reply = await connection.ask(`DELE ${path}`);
  if (reply.code < 300) return;
  if ((await sizeOf(connection, path)) === undefined) return;
  throw classifyReply(reply, 'DELE');
}

/**
 * The bytes from `start` on, to be compared with ours; undefined when this account may put files but not read them.
 * @param start,count in bytes; a file that is longer than both together is not what it was
 * @throws PEER_BUSY when it is longer or shorter by now
 */
export async function readEnd(
  connection: FtpsConnection,
  path: string,
  start: number,
  count: number,
): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const changed = () => new GatewayError('PEER_BUSY', 'the file on the server is being written to');
  try {
    await transfer(connection, {
      command: `RETR ${path}`,
      restartAt: start,
      direction: 'down',
      async move(socket) {
        for await (const chunk of socket as AsyncIterable<Buffer>) {
          bytes += chunk.length;
          if (bytes > count) throw changed();
          chunks.push(chunk);
        }
      },
    });
  } catch (error) {
    if (isGatewayError(error) && error.code === 'PEER_REFUSED' && error.facts['reply'] !== undefined)
      return undefined;
    throw error;
  }
  if (bytes !== count) throw changed();
  return Buffer.concat(chunks);
}

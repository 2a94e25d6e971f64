/**
 * What a pairing by letter has to remember between the letters: `pairings/<hash of the request>.json` in the trust folder.
 * It holds no secret: a request is as good as its signature, and an answer as the words of two people. It makes sure that
 * a request gets one answer, that one answer is read, and that both are used once. Written by commands, not by the bridge.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { GatewayError } from '../errors/gateway-error.js';
import { hashOf } from './pairing-message.js';
import type { CreateFile } from './site-keys.js';

/** Twice as long as anybody takes a message. */
const KEEP_MS = 14 * 24 * 3_600_000;

const recordSchema = z.object({
  version: z.literal(1),
  role: z.enum(['requester', 'responder']),
  createdAtMs: z.number().min(0),
  /** Compact JWS. */
  request: z.string(),
  /** The one that we gave, or the first that we read. */
  answer: z.string().optional(),
  ended: z.enum(['paired', 'refused']).optional(),
});

export type PairingRecord = Readonly<z.infer<typeof recordSchema>>;

export interface PairingRecords {
  /** @param request hash of the request's JWS, in base64url. @throws SPOOL_CORRUPT */
  read(request: string): Promise<PairingRecord | undefined>;
  /** Commits a new record; gives the one that was there before, if there was one. */
  create(record: PairingRecord): Promise<PairingRecord>;
  /** Replaces a record. */
  write(record: PairingRecord): Promise<void>;
}

export interface PairingRecordFiles {
  readonly createFile: CreateFile;
  /** Replaces a whole file, durably. */
  readonly writeFile: (path: string, text: string, mode: number) => Promise<void>;
  readonly makeFolder: (path: string) => Promise<void>;
}

/** @param folder the trust folder */
export function openPairingRecords(folder: string, files: PairingRecordFiles): PairingRecords {
  const place = join(folder, 'pairings');
  const pathOf = (request: string) => join(place, `${request}.json`);

  const read = async (request: string): Promise<PairingRecord | undefined> => {
    let text: string;
    try {
      text = await readFile(pathOf(request), 'utf8');
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
    try {
      return recordSchema.parse(JSON.parse(text));
    } catch (cause) {
      throw new GatewayError('SPOOL_CORRUPT', `the record of a pairing cannot be read: ${pathOf(request)}`, {
        cause,
      });
    }
  };

  return {
    read,
    async create(record) {
      await files.makeFolder(place);
      await removeOld(place, record.createdAtMs);
      const request = hashOf(Buffer.from(record.request, 'latin1'));
      if (await files.createFile(pathOf(request), format(record), 0o600)) return record;
      return (await read(request)) ?? record;
    },
    async write(record) {
      const request = hashOf(Buffer.from(record.request, 'latin1'));
      await files.writeFile(pathOf(request), format(record), 0o600);
    },
  };

  async function removeOld(from: string, nowMs: number): Promise<void> {
    for (const name of await readdir(from)) {
      const record = await read(name.replace(/\.json$/, '')).catch(() => undefined);
      if (record !== undefined && nowMs - record.createdAtMs > KEEP_MS) {
        await rm(join(from, name), { force: true });
      }
    }
  }
}

function format(record: PairingRecord): string {
  return `${JSON.stringify(record)}\n`;
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/**
 * One peer's uploads on the disk: `<name>` holds the bytes that have come, `<name>.json` what was announced. The size of
 * the file is the offset; nothing else remembers it. An upload that was taken over has lost its bytes and kept the
 * announcement: whether it may be called complete is asked of those who hold the envelope, not remembered.
 */
import { createReadStream, createWriteStream, type ReadStream } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { FileStore } from '@tus/file-store';
import { Upload } from '@tus/server';
import { GatewayError } from '../../errors/gateway-error.js';
import { classifyDiskError } from '../../spool/atomic.js';

/** Far more than a sender has under way at a time. */
const MAX_UNFINISHED = 1_000;
const CHUNK_BYTES = 1024 * 1024;
const ANNOUNCEMENT = '.json';

export class UploadStore extends FileStore {
  readonly #isHeld: (name: string) => Promise<boolean>;

  /**
   * @param folder exists already
   * @param isHeld whether the envelope that an upload brings is durable here
   */
  constructor(folder: string, isHeld: (name: string) => Promise<boolean>) {
    super({ directory: folder });
    this.extensions = ['creation', 'termination'];
    this.#isHeld = isHeld;
  }

  /**
   * Keeps the bytes of the same upload that was begun before: who creates it again has only forgotten it.
   * @throws QUOTA_EXCEEDED when the peer leaves too many unfinished, SPOOL_WRITE_FAILED
   */
  override async create(upload: Upload): Promise<Upload> {
    const { id } = upload;
    try {
      if (await this.#isHeld(id)) {
        await this.releaseBytes(id);
        await this.configstore.set(id, upload);
        return upload;
      }
      const names = await readdir(this.directory);
      const before = names.includes(id) ? await this.configstore.get(id) : undefined;
      if (before !== undefined && before.size === upload.size) return await this.getUpload(id);
      if (names.filter((name) => !name.endsWith(ANNOUNCEMENT)).length >= MAX_UNFINISHED) {
        throw new GatewayError('QUOTA_EXCEEDED', `more than ${MAX_UNFINISHED} uploads are unfinished`);
      }
      return await super.create(upload);
    } catch (error) {
      throw classifyDiskError(error);
    }
  }

  override async getUpload(id: string): Promise<Upload> {
    const announced = await this.configstore.get(id);
    if (announced?.size === undefined || !(await this.#isHeld(id))) return super.getUpload(id);
    const { size, metadata = {} } = announced;
    return new Upload({ id, size, offset: size, metadata });
  }

  /** @throws SPOOL_WRITE_FAILED; what was written before counts all the same */
  override async write(bytes: Readable, id: string, offset: number): Promise<number> {
    const { size } = await this.getUpload(id);
    if (offset === size) {
      // Nothing is missing, and the file may be gone already.
      await finished(bytes.resume());
      return offset;
    }
    const file = createWriteStream(join(this.directory, id), {
      flags: 'r+',
      start: offset,
      highWaterMark: CHUNK_BYTES,
    });
    try {
      await pipeline(bytes, file);
    } catch (error) {
      throw classifyDiskError(error);
    }
    return offset + file.bytesWritten;
  }

  override read(id: string): ReadStream {
    return createReadStream(join(this.directory, id), { highWaterMark: CHUNK_BYTES });
  }

  /** The envelope is held elsewhere now; its announcement stays, so that a late question finds it complete. */
  async releaseBytes(id: string): Promise<void> {
    await rm(join(this.directory, id), { force: true });
  }

  /** Nothing of it is left. */
  async discard(id: string): Promise<void> {
    await this.releaseBytes(id);
    await rm(join(this.directory, `${id}${ANNOUNCEMENT}`), { force: true });
  }
}

/** Makes tar and zip archives that no honest writer would make. Synchronous, for small contents. */
import { crc32 } from 'node:zlib';
import { formatTarHeader, paddedSize, TAR_END_BYTES } from '../../../../src/jmix/tar-header.js';

export interface RawEntry {
  readonly name: string;
  readonly content?: string | Buffer;
  /** tar type flag; `0` by default. */
  readonly type?: string;
  /** Unix mode with type bits, for zips; a regular file by default. */
  readonly mode?: number;
  /** What a zip says of the uncompressed size. */
  readonly claimedSize?: number;
  /** Deflated content, for zips; `content` is stored otherwise. */
  readonly deflated?: Buffer;
}

export function tarOf(entries: readonly RawEntry[]): Buffer {
  const parts = entries.map(({ name, content = '', type = '0' }) => {
    const bytes = Buffer.from(content);
    const padding = Buffer.alloc(paddedSize(bytes.length) - bytes.length);
    return Buffer.concat([formatTarHeader(name, bytes.length, type), bytes, padding]);
  });
  return Buffer.concat([...parts, Buffer.alloc(TAR_END_BYTES)]);
}

export function zipOf(entries: readonly RawEntry[]): Buffer {
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const content = Buffer.from(entry.content ?? '');
    const stored = entry.deflated ?? content;
    const method = entry.deflated === undefined ? 0 : 8;
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x0800, 2);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(stored.length, 14);
    common.writeUInt32LE(entry.claimedSize ?? content.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, name, stored]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(((entry.mode ?? 0o100644) << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    const madeBy = Buffer.from([20, 3]);
    centrals.push(Buffer.concat([Buffer.from('PK\x01\x02', 'latin1'), madeBy, common, tail, name]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(centrals);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

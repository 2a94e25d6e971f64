/** Zips whose every part can be lied about: local headers, data, directory and end, each with fields of its own. */
import { crc32 } from 'node:zlib';

export interface ZipPart {
  readonly name: string;
  readonly content?: string | Buffer;
  /** As it lies in the archive; `content` by default. */
  readonly stored?: Buffer;
  readonly method?: number;
  readonly flags?: number;
  /** What the local header says instead. */
  readonly local?: Partial<ZipFields>;
  /** What the directory says instead. */
  readonly central?: Partial<ZipFields> & { readonly offset?: number };
  /** Behind the data. */
  readonly descriptor?: Buffer;
  /** Extra field of the directory's entry, with its head. */
  readonly extra?: Buffer;
  readonly mode?: number;
}

interface ZipFields {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  readonly storedBytes: number;
  readonly bytes: number;
}

export interface ZipEnds {
  /** Between the last entry and the directory. */
  readonly gap?: Buffer;
  readonly comment?: string;
  readonly entryCount?: number;
  /** A zip64 end record and locator, right, but for what is given. */
  readonly zip64?: { readonly entryCount?: number; readonly offset?: number; readonly locator?: number };
  readonly directoryOffset?: number;
}

export const FLAG_ENCRYPTED = 1;
export const FLAG_DESCRIPTOR = 8;

export function rawZip(parts: readonly ZipPart[], ends: ZipEnds = {}): Buffer {
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const part of parts) {
    const content = Buffer.from(part.content ?? '');
    const stored = part.stored ?? content;
    const fields: ZipFields = {
      name: part.name,
      flags: part.flags ?? 0,
      method: part.method ?? 0,
      crc: crc32(content),
      storedBytes: stored.length,
      bytes: content.length,
    };
    const local = { ...fields, ...part.local };
    const head = Buffer.concat([signature('PK\x03\x04'), fieldsOf(local, 0), Buffer.from(local.name)]);
    const all = Buffer.concat([head, stored, part.descriptor ?? Buffer.alloc(0)]);
    const { offset: elsewhere, ...central } = { ...fields, ...part.central };
    const extra = part.extra ?? Buffer.alloc(0);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(((part.mode ?? 0o100644) << 16) >>> 0, 6);
    tail.writeUInt32LE(elsewhere ?? offset, 10);
    const name = Buffer.from(central.name);
    const madeBy = Buffer.from([20, 3]);
    centrals.push(
      Buffer.concat([signature('PK\x01\x02'), madeBy, fieldsOf(central, extra.length), tail, name, extra]),
    );
    locals.push(all);
    offset += all.length;
  }
  const gap = ends.gap ?? Buffer.alloc(0);
  const directory = Buffer.concat(centrals);
  const start = offset + gap.length;
  return Buffer.concat([...locals, gap, directory, endOf(parts.length, start, directory.length, ends)]);
}

function endOf(count: number, start: number, sizeBytes: number, ends: ZipEnds): Buffer {
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(ends.entryCount ?? count, 8);
  end.writeUInt16LE(ends.entryCount ?? count, 10);
  end.writeUInt32LE(sizeBytes, 12);
  end.writeUInt32LE(ends.directoryOffset ?? start, 16);
  const comment = Buffer.from(ends.comment ?? '', 'latin1');
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([
    ...(ends.zip64 === undefined ? [] : [zip64Of(count, start, sizeBytes, ends.zip64)]),
    end,
    comment,
  ]);
}

function zip64Of(
  count: number,
  start: number,
  sizeBytes: number,
  lies: NonNullable<ZipEnds['zip64']>,
): Buffer {
  const record = Buffer.alloc(56);
  record.write('PK\x06\x06', 'latin1');
  record.writeBigUInt64LE(44n, 4);
  record.writeBigUInt64LE(BigInt(lies.entryCount ?? count), 24);
  record.writeBigUInt64LE(BigInt(lies.entryCount ?? count), 32);
  record.writeBigUInt64LE(BigInt(sizeBytes), 40);
  record.writeBigUInt64LE(BigInt(lies.offset ?? start), 48);
  const locator = Buffer.alloc(20);
  locator.write('PK\x06\x07', 'latin1');
  locator.writeBigUInt64LE(BigInt(lies.locator ?? start + sizeBytes), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([record, locator]);
}

function fieldsOf(fields: ZipFields, extraBytes: number): Buffer {
  const bytes = Buffer.alloc(26);
  bytes.writeUInt16LE(20, 0);
  bytes.writeUInt16LE(fields.flags, 2);
  bytes.writeUInt16LE(fields.method, 4);
  bytes.writeUInt32LE(fields.crc, 10);
  bytes.writeUInt32LE(fields.storedBytes, 14);
  bytes.writeUInt32LE(fields.bytes, 18);
  bytes.writeUInt16LE(Buffer.byteLength(fields.name), 22);
  bytes.writeUInt16LE(extraBytes, 24);
  return bytes;
}

function signature(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

import { describe, expect, it } from 'vitest';
import { formatTarHeader, paddedSize, parseTarHeader, TAR_END_BYTES } from '../../../src/jmix/tar-header.js';
import { readTar, type TarLimits } from '../../../src/jmix/tar-reader.js';
import { codeOf } from './support/sealing.js';
import { inPieces } from './support/staging.js';

const LIMITS: TarLimits = { maxEntries: 100, maxBytes: 1_000_000 };
const END = Buffer.alloc(TAR_END_BYTES);

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(paddedSize(bytes.length) - bytes.length)]);
}

function entry(name: string, content: Buffer | string = '', type = '0'): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([formatTarHeader(name, bytes.length, type), padded(bytes)]);
}

function pax(records: Record<string, string>, type = 'x'): Buffer {
  const lines = Object.entries(records).map(([keyword, value]) => {
    const rest = ` ${keyword}=${value}\n`;
    let length = rest.length + 1;
    while (String(length).length + Buffer.byteLength(rest) !== length) length += 1;
    return `${length}${rest}`;
  });
  return entry('PaxHeader', lines.join(''), type);
}

/** The header with `text` at `offset`, and its checksum made right again. */
function patched(header: Buffer, offset: number, text: string | Buffer): Buffer {
  const copy = Buffer.from(header);
  Buffer.from(text).copy(copy, offset);
  copy.write('        ', 148, 'latin1');
  const sum = copy.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return copy;
}

async function read(parts: readonly Buffer[], limits = LIMITS, sizes: readonly number[] = [700, 1, 33]) {
  const tar = Buffer.concat(parts);
  const found: Record<string, string> = {};
  const source = inPieces(tar, sizes)[Symbol.asyncIterator]() as AsyncIterator<Buffer, unknown, undefined>;
  for await (const item of readTar(source, limits, tar.length)) {
    if (item.kind === 'folder') found[`${item.name}/`] = '';
    else {
      const chunks: Buffer[] = [];
      for await (const chunk of item.body()) chunks.push(chunk);
      found[item.name] = Buffer.concat(chunks).toString();
    }
  }
  return found;
}

describe('readTar refuses with ARCHIVE_UNSAFE', () => {
  it.each([
    ['a hard link', [entry('a', '', '1')]],
    ['a symbolic link', [entry('a', '', '2')]],
    ['a device', [entry('a', '', '3')]],
    ['a fifo', [entry('a', '', '6')]],
    ['a GNU long link', [entry('././@LongLink', 'x', 'K')]],
    ['a sparse file', [entry('a', '', 'S')]],
    ['a name that climbs', [entry('a/../b')]],
    ['a name that climbs by PAX', [pax({ path: '../a' }), entry('a')]],
    ['a name that climbs by GNU long name', [entry('././@LongLink', '../a\0', 'L'), entry('a')]],
    ['an absolute name', [entry('/a')]],
    ['a backslash', [entry('a\\b')]],
    ['a control character', [entry('a\nb')]],
    ['an empty segment', [entry('a//b')]],
    ['a name that is not UTF-8', [patched(entry('a'), 0, Buffer.from([0xc3, 0x28]))]],
    ['a file twice', [entry('a'), entry('a')]],
    ['a file twice, once behind ./', [entry('a'), entry('./a')]],
    ['a file twice for a disk that ignores case', [entry('a'), entry('A')]],
    ['a file twice for a disk that composes Unicode', [entry('e\u0301'), entry('\u00e9')]],
    ['a file below a file', [entry('a'), entry('a/b')]],
    ['a file where a folder is', [entry('a/b'), entry('a')]],
    ['a folder where a file is', [entry('a'), entry('a/', '', '5')]],
    ['a file that is called like a folder', [entry('a/', 'content')]],
    ['a PAX link path', [pax({ linkpath: 'x' }), entry('a')]],
    ['a global PAX path', [pax({ path: 'x' }, 'g'), entry('a')]],
    ['too many folders in one name', [entry(`${'a/'.repeat(40)}b`)]],
  ])('%s', async (_, parts) => {
    expect(await codeOf(read([...parts, END]))).toBe('ARCHIVE_UNSAFE');
  });
});

describe('readTar refuses with ENVELOPE_MALFORMED', () => {
  const good = entry('a', 'content');
  it.each([
    ['a wrong checksum', [patched(good, 0, 'b').fill(0x37, 148, 150), END]],
    ['the end inside a header', [good.subarray(0, 511)]],
    ['the end inside a file', [good.subarray(0, 515)]],
    ['the end inside a padding', [good.subarray(0, 600)]],
    ['a size of 7 GiB', [patched(good, 124, '77777777777\0'), END]],
    ['a size that is not octal', [patched(good, 124, '9')]],
    ['a base-256 size beyond 2^53', [patched(good, 124, Buffer.alloc(12, 0xff)), END]],
    ['content behind the end', [good, END, good]],
    ['a folder with a size', [entry('a/', 'content', '5'), END]],
    ['PAX without an entry', [pax({ path: 'a' }), END]],
    ['PAX records out of form', [entry('PaxHeader', '99 path=a\n', 'x'), good, END]],
    ['a PAX record twice', [entry('PaxHeader', '9 path=a\n9 path=b\n', 'x'), good, END]],
    ['a PAX size that is no number', [pax({ size: '-1' }), good, END]],
    ['an extension of 65 KiB', [entry('PaxHeader', Buffer.alloc(65 * 1024), 'x'), good, END]],
    ['extensions without end', [...Array.from({ length: 6 }, () => pax({ mtime: '1' })), good, END]],
    ['text', [Buffer.from('this is not a tar'.repeat(100))]],
  ])('%s', async (_, parts) => {
    expect(await codeOf(read(parts))).toBe('ENVELOPE_MALFORMED');
  });
});

describe('readTar refuses with ENVELOPE_TOO_LARGE', () => {
  it('more entries than the limit', async () => {
    const limits = { ...LIMITS, maxEntries: 2 };
    expect(await codeOf(read([entry('a'), entry('b/', '', '5'), entry('c'), END], limits))).toBe(
      'ENVELOPE_TOO_LARGE',
    );
  });

  it('more bytes than the limit', async () => {
    const limits = { ...LIMITS, maxBytes: 7 };
    expect(await codeOf(read([entry('a', '1234'), entry('b', '1234'), END], limits))).toBe(
      'ENVELOPE_TOO_LARGE',
    );
  });
});

describe('readTar takes', () => {
  const long = `dicom/${'L'.repeat(120)}.dcm`;

  it.each([
    [
      './ and folders',
      [entry('./', '', '5'), entry('./dicom/', '', '5'), entry('./dicom/a', 'A')],
      'dicom/a',
    ],
    ['a PAX path', [pax({ path: long, mtime: '1.5' }), entry('short', 'A')], long],
    ['a PAX size', [pax({ size: '1' }), patched(entry('a', 'A'), 124, '00000000000\0')], 'a'],
    ['a GNU long name with ./', [entry('././@LongLink', `./${long}\0`, 'L'), entry('short', 'A')], long],
    [
      'a ustar prefix',
      [entry(`${'p'.repeat(90)}/${'n'.repeat(90)}`, 'A')],
      `${'p'.repeat(90)}/${'n'.repeat(90)}`,
    ],
    ['an old header without type', [entry('a', 'A', '\0')], 'a'],
    ['a size that ends in a blank', [patched(entry('a', 'A'), 124, '000000001 \0\0')], 'a'],
    [
      'a base-256 size',
      [patched(entry('a', 'A'), 124, Buffer.from([128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]))],
      'a',
    ],
    ['a global comment', [pax({ comment: 'x' }, 'g'), entry('a', 'A')], 'a'],
    ['raw UTF-8', [entry('dicom/CT é 1.dcm', 'A')], 'dicom/CT é 1.dcm'],
  ])('%s', async (_, parts, name) => {
    for (const sizes of [[1_000_000], [511], [1]]) {
      expect((await read([...parts, END], LIMITS, sizes))[name]).toBe('A');
    }
  });

  it('an archive without end blocks, and one with ten', async () => {
    expect(await read([entry('a', 'A')])).toEqual({ a: 'A' });
    expect(await read([entry('a', 'A'), ...Array.from({ length: 10 }, () => END)])).toEqual({ a: 'A' });
  });

  it('what it is not asked to read, by skipping it', async () => {
    const source = inPieces(Buffer.concat([entry('a', 'A'.repeat(3000)), entry('b', 'B'), END]), [100]);
    const names: string[] = [];
    const iterator = source[Symbol.asyncIterator]() as AsyncIterator<Buffer, unknown, undefined>;
    for await (const item of readTar(iterator, LIMITS)) names.push(item.name);
    expect(names).toEqual(['a', 'b']);
  });
});

describe('tar headers', () => {
  it('parse to what they were made of', () => {
    for (const [name, size] of [
      ['a', 0],
      ['dicom/1.2.3.dcm', 8 ** 11 - 1],
    ] as const) {
      expect(parseTarHeader(formatTarHeader(name, size))).toEqual({
        name: Buffer.from(name),
        sizeBytes: size,
        type: '0',
      });
    }
  });

  it('do not hold more than 8 GiB, nor a name that no prefix fits', async () => {
    expect(await codeOf((async () => formatTarHeader('a', 8 ** 11))())).toBe('ENVELOPE_TOO_LARGE');
    expect(await codeOf((async () => formatTarHeader('a'.repeat(101), 1))())).toBe('FAULT');
  });
});

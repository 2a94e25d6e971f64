/** CT studies of any size, made of one slice whose UIDs are changed: as fast as the disk takes them. */
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeStudy } from '../samples/make-studies.mjs';
import type { OutgoingInstance } from '../src/dimse/store-scu.js';

/** What the senders are told of a file; ours needs no more. */
export type StudyFile = Omit<OutgoingInstance, 'open'> & {
  readonly path: string;
  readonly dataSetOffset: number;
};

export interface Study {
  /** Its folders, one for each association that is to send it. */
  readonly folders: readonly string[];
  readonly files: readonly StudyFile[];
  /** Of all files. */
  readonly bytes: number;
}

/** Digits at the end of a UID that count. */
const DIGITS = 6;

export interface StudyWish {
  readonly out: string;
  readonly count: number;
  /** Height and width of the slice; 512 makes 0.5 MB, 66 makes 10 KB. */
  readonly rows: number;
  /** Another number is another study. */
  readonly number: number;
  /** Folders over which the files are spread; default 1. */
  readonly parts?: number;
  /** Pixel data is made this long, by a hole in the file. */
  readonly pixelBytes?: number;
}

export async function writeStudy(wish: StudyWish): Promise<Study> {
  const { out, count, rows, number, parts = 1 } = wish;
  const [slice] = await makeStudy({ kind: 'ct', out: join(out, 'slice'), slices: 1, rows });
  if (slice === undefined) throw new Error('no slice was made');
  const template = await readFile(slice.path);
  await rm(join(out, 'slice'), { recursive: true });
  const pixelBytes = rows * rows * 2;
  const dataSetOffset = dataSetOffsetOf(template);
  const dataSetBytes = template.length - dataSetOffset - pixelBytes + (wish.pixelBytes ?? pixelBytes);
  const folders = Array.from({ length: parts }, (_, part) => join(out, String(part)));
  for (const folder of folders) await mkdir(folder, { recursive: true });
  replaceEnd(template, slice.studyInstanceUid, number);
  replaceEnd(template, slice.seriesInstanceUid, number);
  const instanceUid = numbered(slice.sopInstanceUid, number).slice(0, -2 * DIGITS);
  const files: StudyFile[] = [];
  let sopInstanceUid = slice.sopInstanceUid;
  for (let index = 0; index < count; index += 1) {
    const next = `${instanceUid}${digits(number)}${digits(index)}`;
    replaceAll(template, sopInstanceUid, next);
    sopInstanceUid = next;
    const folder = folders[Math.floor((index * parts) / count)] ?? out;
    const path = join(folder, `${digits(index)}.dcm`);
    await (wish.pixelBytes === undefined
      ? writeFile(path, template)
      : writeWithHole(path, template, pixelBytes, wish.pixelBytes));
    files.push({
      path,
      dataSetOffset,
      sizeBytes: dataSetBytes,
      sopClassUid: slice.sopClassUid,
      sopInstanceUid,
      transferSyntaxUid: slice.transferSyntaxUid,
    });
  }
  return { folders, files, bytes: count * (dataSetOffset + dataSetBytes) };
}

/** Pixel data comes last; its length stands in the four bytes before. */
async function writeWithHole(path: string, template: Buffer, was: number, pixelBytes: number): Promise<void> {
  const head = Buffer.from(template.subarray(0, template.length - was));
  head.writeUInt32LE(pixelBytes, head.length - 4);
  const file = await open(path, 'w');
  await file.write(head);
  await file.truncate(head.length + pixelBytes);
  await file.close();
}

/** Behind preamble, `DICM`, the group length element, and as many bytes as that says (PS3.10 §7.1). */
function dataSetOffsetOf(file: Buffer): number {
  return 144 + file.readUInt32LE(140);
}

function replaceEnd(file: Buffer, uid: string, number: number): void {
  replaceAll(file, uid, numbered(uid, number));
}

function numbered(uid: string, number: number): string {
  return `${uid.slice(0, -DIGITS)}${digits(number)}`;
}

function digits(number: number): string {
  return String(number).padStart(DIGITS, '0');
}

function replaceAll(file: Buffer, was: string, is: string): void {
  for (let at = file.indexOf(was); at !== -1; at = file.indexOf(was, at + 1)) file.write(is, at, 'latin1');
}

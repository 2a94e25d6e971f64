/**
 * What a record of the reception log says of the bytes that it carries: whose they are, with the last of them what the
 * instance's file is called; or, without bytes, which instances have their files.
 */
import { basename, dirname, join } from 'node:path';
import { isUid } from '../domain/uid.js';
import { isStudyKey, type Layout } from './layout.js';

/** Bytes of an instance that is not complete yet. */
export interface PieceText {
  readonly id: string;
  /** In the instance's file, in bytes. */
  readonly position: number;
}

/** Its last bytes: with them it is committed. */
export interface CommitText extends PieceText {
  /** Of the file. */
  readonly sizeBytes: number;
  readonly study: string;
  readonly name: string;
}

export interface SettledText {
  /** Instances that have their files, durably. */
  readonly settled: readonly string[];
}

export type RecordText = PieceText | CommitText | SettledText;

const SUFFIX = '.dcm';

export function formatRecordText(text: RecordText): Buffer {
  return Buffer.from(JSON.stringify(text));
}

/** Of a text that its checksum has shown to be ours. */
export function parseRecordText(text: string): RecordText {
  return JSON.parse(text) as RecordText;
}

/** How a commit names a file of a study. */
export function nameInStudy(path: string): { readonly study: string; readonly name: string } {
  return { study: basename(dirname(path)), name: basename(path) };
}

/** Undefined when no instance's file is called so. */
export function pathInStudy(layout: Layout, { study, name }: CommitText): string | undefined {
  const isInstance = name.endsWith(SUFFIX) && isUid(name.slice(0, -SUFFIX.length));
  return isStudyKey(study) && isInstance ? join(layout.study(study), name) : undefined;
}

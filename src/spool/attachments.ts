/**
 * The attachments of a study on the disk. Bytes lie under their hash, and a small document under a hash of the name
 * gives them their name, since names may tell of a person. Commit point: that document, which is created once: the same
 * name with the same bytes again is a success, with other bytes a conflict.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Attachment, AttachmentKind } from '../domain/attachment.js';
import { GatewayError } from '../errors/gateway-error.js';
import { assertSealableName } from '../jmix/payload-tar.js';
import { createFileDurably, isErrno, linkDurably, makeFolder } from './atomic.js';
import type { Layout } from './layout.js';

/**
 * The payload-relative name of a file that is called `name`.
 * @throws ARCHIVE_UNSAFE when a payload must not hold it, or cannot: a name has at most 100 bytes
 */
export function attachmentName(kind: AttachmentKind, name: string): string {
  const path = kind === 'preview' ? `preview/${name}` : `files/${name}`;
  assertSealableName(path);
  if (name.includes('/'))
    throw new GatewayError('ARCHIVE_UNSAFE', 'the name of an attachment has no folders');
  return path;
}

/** The series that a preview is of: its name without the ending. @param name payload-relative */
export function previewedSeries(name: string): string {
  return name.slice('preview/'.length).replace(/\.[A-Za-z0-9]+$/, '');
}

/**
 * Gives a finished file its place and its name; the caller removes `path`.
 * @returns the attachment that has the name now: another one than was given when the name is taken
 * @throws the disk's errors
 */
export async function placeAttachment(
  layout: Layout,
  key: string,
  path: string,
  attachment: Attachment,
): Promise<Attachment> {
  await makeFolder(layout.attachmentsOf(key));
  await linkDurably(path, layout.attachment(key, attachment.sha256));
  const document = join(layout.attachmentsOf(key), documentName(attachment.name));
  if (await createFileDurably(document, `${JSON.stringify(attachment)}\n`)) return attachment;
  return readAttachment(document);
}

/** All of a study, by name. */
export async function readAttachments(layout: Layout, key: string): Promise<readonly Attachment[]> {
  const folder = layout.attachmentsOf(key);
  const names = await readdir(folder).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const documents = names.filter((name) => /^[0-9a-f]{32}\.json$/.test(name)).sort();
  return Promise.all(documents.map((name) => readAttachment(join(folder, name))));
}

/** Equal for names that a disk which ignores case and Unicode composition cannot tell apart. */
function documentName(name: string): string {
  const folded = name.normalize('NFC').toLowerCase();
  return `${createHash('sha256').update(folded).digest('hex').slice(0, 32)}.json`;
}

async function readAttachment(path: string): Promise<Attachment> {
  return JSON.parse(await readFile(path, 'utf8')) as Attachment;
}

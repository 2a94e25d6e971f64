/** What `drawbridge seal` is told beside the study: whom it is for, what goes along, what the manifest says. */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { AttachmentKind } from '../domain/attachment.js';
import { CLASSIFICATIONS, type Classification, type Extensions } from '../domain/extensions.js';
import { DIALECT_NAMES, type DialectName } from '../domain/peer.js';
import { GatewayError } from '../errors/gateway-error.js';
import { DIALECT_OF } from '../jmix/dialect.js';
import { foldName } from '../jmix/entry-name.js';
import type { Recipient } from '../jmix/recipients.js';
import type { PayloadFile } from '../jmix/seal.js';
import { parseStrictJson } from '../jmix/strict-json.js';
import { attachmentName, previewedSeries } from '../spool/attachments.js';
import { readPublicKey } from '../trust/key-files.js';
import type { InputFiles } from './input-files.js';
import { addGnupgOptions, type OpenpgpOptions } from './openpgp-input.js';
import type { JsonOption } from './output.js';
import { type PassphraseOption, passphraseOption } from './own-keys.js';

export interface SealOptions extends JsonOption, OpenpgpOptions, PassphraseOption {
  readonly to?: readonly string[];
  readonly openpgp?: readonly string[];
  readonly signWith: string;
  readonly senderId: string;
  readonly senderName?: string;
  readonly receiverId: readonly string[];
  readonly receiverName?: readonly string[];
  readonly out: string;
  readonly dialect: DialectName;
  readonly preview?: readonly string[];
  readonly report?: string;
  readonly classification: Classification;
  readonly consent?: string;
  readonly tag?: readonly string[];
  readonly deid?: readonly string[];
  readonly expiresDays?: number;
}

/** Files that are not DICOM, as they lie in the payload. */
export interface Attachments {
  readonly files: readonly PayloadFile[];
  /** Payload-relative name of the report. */
  readonly report?: string;
}

const DAY_MS = 86_400_000;
const READ_BYTES = 1024 * 1024;

export function addSealOptions(command: Command): Command {
  return addGnupgOptions(command)
    .option('--to <file>', 'a receiver’s encryption.pub; once for each receiver', collect)
    .option(
      '--openpgp <fingerprint>',
      'instead of --to: a receiver’s OpenPGP primary key; makes <id>.JMIX.tar.gpg',
      collect,
    )
    .requiredOption('--receiver-id <id>', 'its organisation id; in the same order', collect)
    .option('--receiver-name <name>', 'its name; in the same order, or for none', collect)
    .requiredOption('--sign-with <file>', 'our signing.key')
    .addOption(passphraseOption())
    .requiredOption('--sender-id <id>', 'our organisation id')
    .option('--sender-name <name>', 'our name')
    .requiredOption('--out <dir>', 'folder in which <id>.JMIX is made')
    .addOption(
      new Option(
        '--dialect <name>',
        'the software that is to open it: canon is the specification’s own words, and the only one for several receivers',
      )
        .choices(DIALECT_NAMES)
        .default('canon'),
    )
    .option('--report <file>', 'the report, which metadata.json names')
    .option('--preview <file...>', 'pictures, each named after the SeriesInstanceUID of its series')
    .addOption(
      new Option('--classification <word>', 'what the manifest calls the payload')
        .choices(CLASSIFICATIONS)
        .default('confidential'),
    )
    .option(
      '--consent <json>',
      'consent in the manifest, as JSON or a file of it: {"status": "granted", "signed_on": "2026-01-31", …}',
    )
    .option('--tag <word>', 'a custom tag in the manifest; may come again', collect)
    .option('--deid <keyword...>', 'DICOM attributes that were taken out, told in the manifest')
    .option('--expires-days <n>', 'the receiver refuses it after so long', toDays);
}

/** Each key with its id and name; none for OpenPGP. @throws REQUEST_INVALID when they are not as many, KEY_UNREADABLE */
export async function readRecipients(options: SealOptions): Promise<readonly Recipient[]> {
  const { to = [], openpgp, receiverId: ids, receiverName: names = [] } = options;
  const given = openpgp ?? to;
  if (
    (openpgp !== undefined && to.length > 0) ||
    given.length !== ids.length ||
    (names.length > 0 && names.length !== ids.length)
  ) {
    throw new GatewayError(
      'REQUEST_INVALID',
      `expected as many --to (or --openpgp) as --receiver-id, and as many --receiver-name or none; got ${given.length}, ${ids.length}, ${names.length}`,
    );
  }
  if (new Set(ids).size !== ids.length)
    throw new GatewayError('REQUEST_INVALID', 'a receiver stands there twice');
  const keys = await Promise.all(to.map((file) => readPublicKey(file, 'encryption')));
  return keys.map((key, index) => ({ entity: toEntity(ids[index] ?? '', names[index]), key }));
}

/** Those that a message for OpenPGP keys is for. */
export function receiversOf({ receiverId, receiverName = [] }: SealOptions): readonly Recipient['entity'][] {
  return receiverId.map((id, index) => toEntity(id, receiverName[index]));
}

export function toEntity(id: string, name: string | undefined): Recipient['entity'] {
  return { id, name: name ?? id, contact: 'unknown' };
}

/** @throws REQUEST_INVALID, when the consent is not what the specification knows */
export async function readExtensions({ consent, tag, deid }: SealOptions): Promise<Extensions> {
  if (consent === undefined && tag === undefined && deid === undefined) return {};
  const { parseExtensions } = await import('../config/extensions.js');
  return parseExtensions({
    ...(consent === undefined ? {} : { consent: await readJson(consent) }),
    ...(tag === undefined ? {} : { customTags: tag }),
    ...(deid === undefined ? {} : { deid: { keys: deid } }),
  });
}

/** @throws REQUEST_INVALID when the dialect has no assertion that could expire */
export function expiryOf({ expiresDays, dialect }: SealOptions, nowMs: number): number | undefined {
  if (expiresDays === undefined) return undefined;
  if (DIALECT_OF[dialect].assertedFields.length === 0)
    throw new GatewayError('REQUEST_INVALID', `envelopes of the dialect ${dialect} cannot expire`);
  return nowMs + expiresDays * DAY_MS;
}

/**
 * A file that is named as the report or as a preview does not travel a second time, as one of the others.
 * @throws ARCHIVE_UNSAFE when a payload cannot hold a name; REQUEST_INVALID when a file is missing or of no series, or two
 *   have one name
 */
export async function readAttachments(
  { preview = [], report }: SealOptions,
  { instances, others }: InputFiles,
): Promise<Attachments> {
  const series = new Set<string>(instances.map(({ seriesInstanceUid }) => seriesInstanceUid));
  const previews = await Promise.all(preview.map((path) => attachment('preview', path)));
  if (previews.some(({ name }) => !series.has(previewedSeries(name)))) {
    throw new GatewayError(
      'REQUEST_INVALID',
      'expected each preview to be named after the SeriesInstanceUID of a series, with an ending such as .jpg',
    );
  }
  const placed = new Set(
    [...preview, ...(report === undefined ? [] : [report])].map((path) => resolve(path)),
  );
  const paths = others.map(({ path }) => path).filter((path) => !placed.has(path));
  const files = await Promise.all(paths.map((path) => attachment('file', path)));
  const reported = report === undefined ? undefined : await attachment('report', report);
  const all = [...files, ...(reported === undefined ? [] : [reported]), ...previews];
  assertNamedApart(all);
  return { files: all, ...(reported === undefined ? {} : { report: reported.name }) };
}

/** Attachments lie side by side, whatever folders they come from. */
function assertNamedApart(files: readonly PayloadFile[]): void {
  const names = new Set<string>();
  for (const { name } of files) {
    const folded = foldName(name);
    if (names.has(folded)) {
      throw new GatewayError(
        'REQUEST_INVALID',
        `two of the files are called ${basename(name)}, and attachments travel without their folders: rename one`,
      );
    }
    names.add(folded);
  }
}

async function attachment(kind: AttachmentKind, path: string): Promise<PayloadFile> {
  const name = attachmentName(kind, basename(path));
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true) throw new GatewayError('REQUEST_INVALID', `there is no file ${path}`);
  return { name, sizeBytes: found.size, open: () => createReadStream(path, { highWaterMark: READ_BYTES }) };
}

/** JSON, or the path of a file of it. */
async function readJson(text: string): Promise<unknown> {
  const isJson = text.trimStart().startsWith('{');
  const bytes = isJson
    ? Buffer.from(text)
    : await readFile(text).catch((cause: unknown) => {
        throw new GatewayError('REQUEST_INVALID', `--consent is neither JSON nor a file: ${text}`, { cause });
      });
  return parseStrictJson(bytes, '--consent', 'REQUEST_INVALID');
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function toDays(text: string): number {
  const days = Number(text);
  if (text.trim() !== '' && Number.isFinite(days) && days > 0) return days;
  throw new InvalidArgumentError('expected a number of days above 0');
}

/** `drawbridge seal`: files → a sealed, signed envelope folder. Needs no config. */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { parseEnvelopeId } from '../domain/envelope-id.js';
import type { DialectName } from '../domain/peer.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import { DIALECT_OF } from '../jmix/dialect.js';
import { AUDIT_FILE, envelopeFolderName, MANIFEST_FILE, MANIFEST_JWS } from '../jmix/envelope-names.js';
import { createFileSink } from '../jmix/file-sink.js';
import type { FileEntry } from '../jmix/files-list.js';
import { type PayloadFile, type SealRequest, sealEnvelope } from '../jmix/seal.js';
import { describeStudy } from '../outbound/describe-study.js';
import { syncFolder, syncTree } from '../spool/atomic.js';
import { findInputFiles, type InputInstance } from './input-files.js';
import { interruptible } from './interruptible.js';
import { gnupgFrom, toFingerprint } from './openpgp-input.js';
import { sealToMessage } from './openpgp-seal.js';
import { printResult } from './output.js';
import { makeOutputFolder } from './output-folder.js';
import { readOwnKey } from './own-keys.js';
import { startProgress } from './progress.js';
import {
  addSealOptions,
  expiryOf,
  readAttachments,
  readExtensions,
  readRecipients,
  receiversOf,
  type SealOptions,
  toEntity,
} from './seal-options.js';

const READ_BYTES = 1024 * 1024;
const SKIPPED = 'hidden, a DICOMDIR, no file, or left by a file manager';

export function sealCommand(): Command {
  return addSealOptions(
    new Command('seal')
      .description(
        'seal one study, and files that go with it, to its receivers; prints the path of the envelope',
      )
      .argument('<files...>', 'DICOM files and folders; other files travel as attachments'),
  )
    .option('--json', 'one JSON object on standard output')
    .action(async (paths: string[], options: SealOptions) => {
      const recipients = await readRecipients(options);
      const signingKey = await readOwnKey(options.signWith, 'signing', options);
      const extensions = await readExtensions(options);
      const createdAtMs = Date.now();
      const assertionExpiresAtMs = expiryOf(options, createdAtMs);
      const input = await findInputFiles(paths);
      const { instances, skipped } = input;
      const attachments = await readAttachments(options, input);
      const metadata = await describeStudy(onlyStudy(instances), instances, pathOf(instances));
      const id = parseEnvelopeId(randomUUID());
      const out = resolve(options.out);
      const total = instances.reduce((sum, instance) => sum + instance.fileBytes, 0);
      const contents = {
        id,
        createdAtMs,
        sender: toEntity(options.senderId, options.senderName),
        classification: options.classification,
        extensions,
        metadata:
          attachments.report === undefined ? metadata : { ...metadata, report: { file: attachments.report } },
        files: [...dicomFiles(instances), ...attachments.files],
        signingKey,
        ...(assertionExpiresAtMs === undefined ? {} : { assertionExpiresAtMs }),
      };
      const sealed = await interruptible(async (signal) => {
        const made = await makeOutputFolder(out);
        const progress = await startProgress('sealing', total, options.json);
        const watched = {
          ...contents,
          signal,
          onProgress: (bytes: number) => progress.update(Math.min(bytes, total)),
        };
        try {
          return options.openpgp === undefined
            ? await sealToEnvelope({ ...watched, recipients, dialect: options.dialect }, out)
            : await sealToMessage(
                gnupgFrom(options),
                options.openpgp.map(toFingerprint),
                { ...watched, receivers: receiversOf(options) },
                out,
              );
        } catch (error) {
          await made.undo();
          throw error;
        } finally {
          progress.stop();
        }
      });
      if (skipped > 0) process.stderr.write(`left out: ${skipped}, ${SKIPPED}\n`);
      const { path, sizeBytes } = sealed;
      const files = sealed.files.map((entry) => ({
        file: entry.file,
        sha256: entry.sha256,
        size_bytes: entry.sizeBytes,
      }));
      printResult(
        options,
        { id, path, instances: instances.length, size_bytes: sizeBytes, skipped, files },
        path,
      );
    });
}

interface SealedAt {
  readonly path: string;
  /** Of the payload. */
  readonly sizeBytes: number;
  readonly files: readonly FileEntry[];
}

/** The folder `<id>.JMIX` in `out`. */
async function sealToEnvelope(
  request: Omit<SealRequest, 'payloadSink'> & { readonly dialect: DialectName },
  out: string,
): Promise<SealedAt> {
  const folder = join(out, `.${request.id}.part`);
  await mkdir(folder, { mode: 0o700 });
  try {
    const sealed = await sealEnvelope({
      ...request,
      payloadSink: createFileSink(join(folder, DIALECT_OF[request.dialect].sealedFileName)),
    });
    await writeFile(join(folder, MANIFEST_FILE), sealed.manifest);
    await writeFile(join(folder, MANIFEST_JWS), sealed.jws);
    await writeFile(join(folder, AUDIT_FILE), sealed.audit);
    await syncTree(folder);
    const path = join(out, envelopeFolderName(request.id));
    await rename(folder, path);
    await syncFolder(out);
    return { path, sizeBytes: sealed.payloadSizeBytes, files: sealed.files };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

function onlyStudy(instances: readonly InputInstance[]): Uid {
  const [study, ...more] = new Set(instances.map((instance) => instance.studyInstanceUid));
  if (study === undefined) throw new GatewayError('REQUEST_INVALID', 'none of the files is a DICOM instance');
  if (more.length > 0) {
    throw new GatewayError(
      'REQUEST_INVALID',
      `the files belong to ${more.length + 1} studies; seal one at a time`,
    );
  }
  return study;
}

function pathOf(instances: readonly InputInstance[]): (instance: { sopInstanceUid: Uid }) => string {
  const paths = new Map(instances.map((instance) => [instance.sopInstanceUid, instance.path]));
  return ({ sopInstanceUid }) => paths.get(sopInstanceUid) ?? '';
}

function dicomFiles(instances: readonly InputInstance[]): PayloadFile[] {
  return instances.map(({ sopInstanceUid, fileBytes, path }) => ({
    name: `dicom/${sopInstanceUid}.dcm`,
    sizeBytes: fileBytes,
    open: () => createReadStream(path, { highWaterMark: READ_BYTES }),
    stored: { from: path },
  }));
}

/** `drawbridge seal`: files → a sealed, signed envelope folder. Needs no config. */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { parseEnvelopeId } from '../domain/envelope-id.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import { DIALECT_OF } from '../jmix/dialect.js';
import { AUDIT_FILE, envelopeFolderName, MANIFEST_FILE, MANIFEST_JWS } from '../jmix/envelope-names.js';
import { type PayloadFile, sealEnvelope } from '../jmix/seal.js';
import { describeStudy } from '../outbound/describe-study.js';
import { syncFolder, syncTree } from '../spool/atomic.js';
import { type InputInstance, readInputFiles } from './input-files.js';
import { printResult } from './output.js';
import { readOwnKey } from './own-keys.js';
import { startProgress } from './progress.js';
import {
  addSealOptions,
  expiryOf,
  readAttachments,
  readExtensions,
  readRecipients,
  type SealOptions,
  toEntity,
} from './seal-options.js';

const READ_BYTES = 1024 * 1024;

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
      const input = await readInputFiles(paths);
      const { instances } = input;
      const attachments = await readAttachments(options, input);
      const metadata = await describeStudy(onlyStudy(instances), instances, pathOf(instances));
      const id = parseEnvelopeId(randomUUID());
      const out = resolve(options.out);
      await mkdir(out, { recursive: true });
      const folder = join(out, `.${id}.part`);
      await mkdir(folder, { mode: 0o700 });
      const total = instances.reduce((sum, instance) => sum + instance.fileBytes, 0);
      const progress = startProgress('sealing', total, options.json);
      try {
        const sealed = await sealEnvelope({
          id,
          createdAtMs,
          sender: toEntity(options.senderId, options.senderName),
          recipients,
          classification: options.classification,
          extensions,
          metadata:
            attachments.report === undefined
              ? metadata
              : { ...metadata, report: { file: attachments.report } },
          files: [...dicomFiles(instances), ...attachments.files],
          signingKey,
          dialect: options.dialect,
          ...(assertionExpiresAtMs === undefined ? {} : { assertionExpiresAtMs }),
          payloadSink: createWriteStream(join(folder, DIALECT_OF[options.dialect].sealedFileName), {
            flags: 'wx',
            mode: 0o600,
          }),
          onProgress: (bytes) => progress.update(Math.min(bytes, total)),
        });
        await writeFile(join(folder, MANIFEST_FILE), sealed.manifest);
        await writeFile(join(folder, MANIFEST_JWS), sealed.jws);
        await writeFile(join(folder, AUDIT_FILE), sealed.audit);
        await syncTree(folder);
        const path = join(out, envelopeFolderName(id));
        await rename(folder, path);
        await syncFolder(out);
        progress.stop();
        printResult(
          options,
          { id, path, instances: instances.length, size_bytes: sealed.payloadSizeBytes },
          path,
        );
      } catch (error) {
        progress.stop();
        await rm(folder, { recursive: true, force: true });
        throw error;
      }
    });
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
  }));
}

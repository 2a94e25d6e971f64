/** `drawbridge seal`: files → a sealed, signed envelope folder. Needs no config. */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { parseEnvelopeId } from '../domain/envelope-id.js';
import { DIALECT_NAMES, type DialectName } from '../domain/peer.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import { DIALECT_OF } from '../jmix/dialect.js';
import { AUDIT_FILE, envelopeFolderName, MANIFEST_FILE, MANIFEST_JWS } from '../jmix/envelope-names.js';
import { type PayloadFile, sealEnvelope } from '../jmix/seal.js';
import { describeStudy } from '../outbound/describe-study.js';
import { syncFolder, syncTree } from '../spool/atomic.js';
import { readPrivateKey, readPublicKey } from '../trust/key-files.js';
import { type InputFiles, type InputInstance, readInputFiles } from './input-files.js';
import { type JsonOption, printResult, warnExposedKey } from './output.js';
import { startProgress } from './progress.js';

interface SealOptions extends JsonOption {
  readonly to: string;
  readonly signWith: string;
  readonly senderId: string;
  readonly senderName?: string;
  readonly receiverId: string;
  readonly receiverName?: string;
  readonly out: string;
  readonly dialect: DialectName;
}

const READ_BYTES = 1024 * 1024;

export function sealCommand(): Command {
  return new Command('seal')
    .description('seal one study, and files that go with it, to a receiver; prints the path of the envelope')
    .argument('<files...>', 'DICOM files and folders; other files travel as attachments')
    .requiredOption('--to <file>', 'the receiver’s encryption.pub')
    .requiredOption('--sign-with <file>', 'our signing.key')
    .requiredOption('--sender-id <id>', 'our organisation id')
    .requiredOption('--receiver-id <id>', 'the receiver’s organisation id')
    .option('--sender-name <name>', 'our name')
    .option('--receiver-name <name>', 'the receiver’s name')
    .requiredOption('--out <dir>', 'folder in which <id>.JMIX is made')
    .addOption(
      new Option(
        '--dialect <name>',
        'the software that is to open it: canon is the specification’s own words',
      )
        .choices(DIALECT_NAMES)
        .default('canon'),
    )
    .option('--json', 'one JSON object on standard output')
    .action(async (paths: string[], options: SealOptions) => {
      const recipientKey = await readPublicKey(options.to, 'encryption');
      const signingKey = await readPrivateKey(options.signWith, 'signing', warnExposedKey);
      const input = await readInputFiles(paths);
      const { instances } = input;
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
          createdAtMs: Date.now(),
          sender: entity(options.senderId, options.senderName),
          receivers: [entity(options.receiverId, options.receiverName)],
          metadata: await describeStudy(onlyStudy(instances), instances, pathOf(instances)),
          files: payloadFiles(input),
          recipientKey,
          signingKey,
          dialect: options.dialect,
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

function entity(id: string, name: string | undefined) {
  return { id, name: name ?? id, contact: 'unknown' };
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

function payloadFiles({ instances, others }: InputFiles): PayloadFile[] {
  const open = (path: string) => () => createReadStream(path, { highWaterMark: READ_BYTES });
  return [
    ...instances.map(({ sopInstanceUid, fileBytes, path }) => ({
      name: `dicom/${sopInstanceUid}.dcm`,
      sizeBytes: fileBytes,
      open: open(path),
    })),
    ...others.map(({ name, sizeBytes, path }) => ({ name: `files/${name}`, sizeBytes, open: open(path) })),
  ];
}

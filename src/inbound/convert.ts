/**
 * What a PACS does not take as it is, converted without loss to what it takes: into a file in scratch, which is removed as
 * soon as it has been sent, or at the latest when the delivery ends; what a crash leaves, the next start wipes. The opened
 * study is never touched: another PACS may take it as it is. Every conversion is told: in the outcome, which keeps the
 * SHA-256 that the sender sealed beside that of what went out, and in the log.
 */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TARGETS } from '../dicom/transcode.js';
import { transferSyntax } from '../dicom/transfer-syntaxes.js';
import type { Convert, StoreOutcome } from '../dimse/store-scu.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { fileSize, hashFrom, readBytesFrom } from '../spool/instance-file.js';
import { openScratch, type ScratchFolder } from '../spool/scratch.js';
import type { OpenedInstance } from './inspect-instances.js';
import type { InboundParts } from './parts.js';

/** What became of one conversion, in an outcome. */
export interface ConvertedOutcome {
  /** Of the data set as its sender sealed it. */
  readonly sha256: string;
  readonly converted: { readonly from: string; readonly to: string; readonly sha256: string };
}

/** The conversions of one delivery to one PACS. */
export interface Converter {
  /** @throws TRANSCODE_FAILED when it cannot be converted to any of these without loss; SPOOL_WRITE_FAILED; CANCELLED */
  readonly convert: Convert;
  /** What is to be told of an instance that went out converted; undefined for one that went out as it is. */
  outcomeOf(outcome: StoreOutcome): ConvertedOutcome | undefined;
  /** Removes what was not sent, and logs what was converted and what could not be, by count. */
  close(): Promise<void>;
}

/** @param log with the fields that say which delivery it is */
export function openConverter(
  parts: Pick<InboundParts, 'layout' | 'transcoder'>,
  id: EnvelopeId,
  instances: readonly OpenedInstance[],
  log: Log,
): Converter {
  const byUid = new Map(instances.map((instance) => [instance.sopInstanceUid as string, instance]));
  const sealedSha256 = new Map<string, string>();
  const failures = new Map<string, number>();
  let opening: Promise<ScratchFolder> | undefined;

  const convert: Convert = async (instance, accepted, signal) => {
    const source = byUid.get(instance.sopInstanceUid);
    if (source === undefined) throw new GatewayError('FAULT', 'an instance is not of this delivery');
    const { transferSyntaxUid, dataSetOffset } = source;
    const targetUid = [...TARGETS.keys()].find((uid) => accepted.includes(uid));
    if (targetUid === undefined) throw noTarget(transferSyntaxUid);
    opening ??= openScratch(parts.layout, 'transcode');
    const folder = await opening;
    const output = join(folder.path, randomUUID());
    const path = join(parts.layout.openedOf(id), source.file);
    try {
      await parts.transcoder.transcode({ path, dataSetOffset, transferSyntaxUid, targetUid, output }, signal);
      sealedSha256.set(instance.sopInstanceUid, await hashFrom(path, dataSetOffset));
      const sizeBytes = await fileSize(output);
      return {
        ...instance,
        transferSyntaxUid: targetUid,
        sizeBytes,
        open: (into) => readOnce(folder, output, into),
      };
    } catch (error) {
      await rm(output, { force: true });
      throw await folder.judge(error);
    }
  };

  return {
    async convert(instance, accepted, signal) {
      try {
        return await convert(instance, accepted, signal);
      } catch (error) {
        if (isGatewayError(error) && error.code === 'TRANSCODE_FAILED') {
          failures.set(error.message, (failures.get(error.message) ?? 0) + 1);
        }
        throw error;
      }
    },
    outcomeOf({ sopInstanceUid, transferSyntaxUid: to, sha256 }) {
      const from = byUid.get(sopInstanceUid)?.transferSyntaxUid;
      const sealed = sealedSha256.get(sopInstanceUid);
      if (from === undefined || sealed === undefined || to === undefined || to === from || sha256 === '')
        return undefined;
      return { sha256: sealed, converted: { from, to, sha256 } };
    },
    async close() {
      await (await opening?.catch(() => undefined))?.remove();
      if (sealedSha256.size > 0) log.info({ event: 'instance.converted', instances: sealedSha256.size });
      for (const [reason, count] of failures)
        log.warn({ event: 'conversion.failed', instances: count, reason });
    },
  };
}

async function* readOnce(
  folder: ScratchFolder,
  path: string,
  into: Buffer,
): AsyncGenerator<Buffer, void, void> {
  try {
    yield* readBytesFrom(path, 0, into);
  } catch (error) {
    throw await folder.judge(error);
  } finally {
    await rm(path, { force: true });
  }
}

function noTarget(transferSyntaxUid: string): GatewayError {
  return new GatewayError(
    'TRANSCODE_FAILED',
    `the PACS takes neither ${transferSyntax(transferSyntaxUid).name} nor an uncompressed transfer syntax`,
  );
}

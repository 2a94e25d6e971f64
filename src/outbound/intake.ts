/**
 * An instance arrives: stage its bytes, read whose it is, commit, and only then let the sender hear Success. C-STORE
 * comes through here, and so will every other door.
 */
import { type Header, readHeaderFromHead } from '../dicom/header.js';
import { formatFileMeta } from '../dicom/part10.js';
import { TAGS } from '../dicom/tags.js';
import type { IncomingInstance, StoreHandler, StoreSession } from '../dimse/store-scp.js';
import type { Clock } from '../domain/clock.js';
import { parseUid, type Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { readInstanceFile } from '../spool/instance-file.js';
import { studyKey } from '../spool/layout.js';
import type { StudyStore } from '../spool/study-store.js';
import type { Feeding } from './feeding.js';

export interface IntakeParts {
  readonly studies: StudyStore;
  readonly feeding: Feeding;
  readonly clock: Clock;
  readonly log: Log;
  /** Why nothing is taken just now: asked before anything of an instance is staged. */
  readonly refusal?: () => GatewayError | undefined;
  /** Told after each commit, with the study's key. */
  readonly arrived: (studyKey: string) => void;
}

/** Enough for the attributes below in all but odd data sets; those are read from the staged file. */
const HEAD_BYTES = 16 * 1024;

const WANTED = [
  TAGS.SOPClassUID,
  TAGS.SOPInstanceUID,
  TAGS.Modality,
  TAGS.StudyInstanceUID,
  TAGS.SeriesInstanceUID,
] as const;

/** @returns the handler that the C-STORE SCP calls */
export function createIntake(parts: IntakeParts): StoreHandler {
  return {
    begin: (incoming) => beginInstance(parts, incoming),
    associationClosed: (association) => parts.feeding.closed(association.id),
  };
}

async function beginInstance(parts: IntakeParts, incoming: IncomingInstance): Promise<StoreSession> {
  const refusal = parts.refusal?.();
  if (refusal !== undefined) throw refusal;
  const sopInstanceUid = parseUid(incoming.sopInstanceUid, 'Affected SOP Instance UID');
  const sopClassUid = parseUid(incoming.sopClassUid, 'Affected SOP Class UID');
  const transferSyntaxUid = parseUid(incoming.transferSyntaxUid, 'Transfer Syntax UID');
  const { callingAe, calledAe } = incoming.association;
  const staged = await parts.studies.stageNext(
    formatFileMeta({
      sopClassUid,
      sopInstanceUid,
      transferSyntaxUid,
      sendingAe: callingAe,
      receivingAe: calledAe,
    }),
  );
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  let headBytes = 0;
  let header: Header | undefined;

  return {
    write(chunk) {
      if (headBytes < HEAD_BYTES) {
        headBytes += chunk.copy(head, headBytes);
        // While the rest of it comes.
        if (headBytes === HEAD_BYTES) header = readHeaderFromHead(head, transferSyntaxUid, WANTED);
      }
      return staged.write(chunk);
    },
    async commit() {
      try {
        const { sizeBytes } = staged.finish();
        header ??= readHeaderFromHead(head.subarray(0, headBytes), transferSyntaxUid, WANTED);
        header ??= (await readInstanceFile(await staged.flush(), WANTED)).header;
        const found = identityOf(header);
        if (found.sopInstanceUid !== sopInstanceUid || found.sopClassUid !== sopClassUid) {
          const what = found.sopInstanceUid === sopInstanceUid ? 'class' : 'instance';
          throw new GatewayError('SOP_MISMATCH', `the command names another SOP ${what} than the data set`);
        }
        const outcome = await parts.studies.commit(staged, found.studyInstanceUid, {
          sopInstanceUid,
          sopClassUid,
          transferSyntaxUid,
          seriesInstanceUid: found.seriesInstanceUid,
          modality: found.modality,
          dataSetBytes: sizeBytes,
          receivedAtMs: parts.clock.now(),
          callingAe,
          calledAe,
        });
        const key = studyKey(found.studyInstanceUid);
        parts.feeding.fed(incoming.association.id, key);
        parts.arrived(key);
        parts.log.debug({
          event: `instance.${outcome}`,
          association: incoming.association.id,
          study: key,
          bytes: sizeBytes,
        });
        if (outcome === 'conflict') {
          parts.log.warn({ event: 'instance.conflicted', association: incoming.association.id, study: key });
          throw new GatewayError('INSTANCE_CONFLICT', 'this SOP Instance UID is held with other bytes');
        }
      } catch (error) {
        await staged.discard();
        throw error;
      }
    },
    discard: () => staged.discard(),
  };
}

interface Identity {
  readonly sopClassUid: Uid;
  readonly sopInstanceUid: Uid;
  readonly studyInstanceUid: Uid;
  readonly seriesInstanceUid: Uid;
  readonly modality: string;
}

/** @throws DATASET_UNREADABLE when one of the four UIDs is missing or none */
function identityOf(header: Header): Identity {
  const uid = (keyword: keyof typeof TAGS & string) => {
    const text = header.string(TAGS[keyword]);
    if (text === undefined || text === '') {
      throw new GatewayError('DATASET_UNREADABLE', `the data set has no ${keyword}`);
    }
    return parseUid(text, keyword);
  };
  return {
    sopClassUid: uid('SOPClassUID'),
    sopInstanceUid: uid('SOPInstanceUID'),
    studyInstanceUid: uid('StudyInstanceUID'),
    seriesInstanceUid: uid('SeriesInstanceUID'),
    modality: header.string(TAGS.Modality) ?? '',
  };
}

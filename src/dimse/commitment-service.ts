/**
 * Storage Commitment Push Model as an association service (PS3.4 Annex J.3): what a modality asks of us by N-ACTION, and
 * what a PACS reports to us by N-EVENT-REPORT, each checked and handed on. The types of those who take it stand here, on
 * the side that calls; compose hands them in.
 */

import type { InstanceReference } from '../domain/commitment.js';
import { isUid } from '../domain/uid.js';
import { toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { COMMAND_FIELDS } from './command-set.js';
import type { CommitmentResult } from './commitment-data-set.js';
import {
  type CommitmentDataSet,
  MAX_COMMITMENT_BYTES,
  readCommitmentDataSet,
} from './commitment-data-set.js';
import type { AssociationService, ServicePeer, ServiceReply, ServiceRequest } from './service.js';

/** Storage Commitment Push Model SOP Class, and its one well-known instance (PS3.4 J.3.1, J.3.5). */
export const STORAGE_COMMITMENT_SOP_CLASS = '1.2.840.10008.1.20.1';
export const STORAGE_COMMITMENT_SOP_INSTANCE = '1.2.840.10008.1.20.1.1';

/** Action Type ID of "Request Storage Commitment". */
export const REQUEST_COMMITMENT = 1;
/** Event Type IDs: all are committed to; or there are failures. */
export const COMMITMENT_SUCCESSFUL = 1;
export const COMMITMENT_FAILURES_EXIST = 2;

/** Statuses of PS3.7 Annex C that we answer with. */
export const COMMITMENT_STATUS = {
  success: 0x0000,
  processingFailure: 0x0110,
  noSuchInstance: 0x0112,
  noSuchEventType: 0x0113,
  invalidArgument: 0x0115,
  noSuchClass: 0x0118,
  missingAttribute: 0x0120,
  missingAttributeValue: 0x0121,
  sopClassNotSupported: 0x0122,
  noSuchActionType: 0x0123,
  notAuthorised: 0x0124,
  duplicateTransaction: 0x0131,
  unrecognisedOperation: 0x0211,
  resourceLimitation: 0x0213,
} as const;

export interface CommitmentAsked {
  readonly transactionUid: string;
  /** At least one; none twice. */
  readonly references: readonly InstanceReference[];
}

export interface CommitmentReported extends CommitmentResult {
  readonly transactionUid: string;
}

export interface CommitmentHandlers {
  /** What a modality asks for. Durable when it resolves with success. Absent where we take no such requests. */
  asked?(asked: CommitmentAsked, peer: ServicePeer): Promise<ServiceReply>;
  /** What a PACS reports. Durable when it resolves with success. */
  reported(reported: CommitmentReported, peer: ServicePeer): Promise<ServiceReply>;
  /** Somebody opened an association on which reports can be told. */
  opened?(peer: ServicePeer): void;
}

export function createCommitmentService(handlers: CommitmentHandlers, log: Log): AssociationService {
  const { asked, opened } = handlers;

  const serve = async (request: ServiceRequest, peer: ServicePeer): Promise<ServiceReply> => {
    const { command } = request;
    const isAction = command.commandField === COMMAND_FIELDS.nActionRequest;
    if (!isAction && command.commandField !== COMMAND_FIELDS.nEventReportRequest) {
      return refuse(COMMITMENT_STATUS.unrecognisedOperation, 'storage commitment has no such operation');
    }
    if (command.sopClassUid !== STORAGE_COMMITMENT_SOP_CLASS)
      return refuse(COMMITMENT_STATUS.noSuchClass, 'not the SOP class of the presentation context');
    if (command.sopInstanceUid !== STORAGE_COMMITMENT_SOP_INSTANCE)
      return refuse(COMMITMENT_STATUS.noSuchInstance, 'not the well-known SOP instance');
    if (isAction && command.actionTypeId !== REQUEST_COMMITMENT)
      return refuse(COMMITMENT_STATUS.noSuchActionType, `action type ${command.actionTypeId}, expected 1`);
    if (!isAction && !isEventType(command.eventTypeId))
      return refuse(COMMITMENT_STATUS.noSuchEventType, `event type ${command.eventTypeId}, expected 1 or 2`);
    const read = readRequest(request);
    if ('status' in read) return read;
    if (!isAction) {
      const { transactionUid, references = [], failed } = read;
      return handlers.reported({ transactionUid, committed: references, failed }, peer);
    }
    if (asked === undefined)
      return refuse(COMMITMENT_STATUS.notAuthorised, 'no storage commitment is given here');
    if (read.references === undefined)
      return refuse(COMMITMENT_STATUS.missingAttribute, 'Referenced SOP Sequence is missing');
    if (read.references.length === 0)
      return refuse(COMMITMENT_STATUS.missingAttributeValue, 'Referenced SOP Sequence is empty');
    return asked({ transactionUid: read.transactionUid, references: unique(read.references) }, peer);
  };

  return {
    sopClassUids: [STORAGE_COMMITMENT_SOP_CLASS],
    maxDataSetBytes: MAX_COMMITMENT_BYTES,
    ...(opened === undefined ? {} : { opened }),
    async serve(request, peer) {
      const reply = await serve(request, peer);
      if (reply.status !== COMMITMENT_STATUS.success) {
        const { association } = peer;
        const fields = { association: association?.id, callingAe: association?.callingAe };
        log.warn({ event: 'commitment.refused', ...fields, status: reply.status }, reply.comment);
      }
      return reply;
    },
  };
}

function isEventType(id: number | undefined): boolean {
  return id === COMMITMENT_SUCCESSFUL || id === COMMITMENT_FAILURES_EXIST;
}

type Readable = Omit<CommitmentDataSet, 'transactionUid'> & { readonly transactionUid: string };

/** The data set with its transaction UID; or why it cannot be taken. */
function readRequest({ dataSet, transferSyntaxUid }: ServiceRequest): Readable | ServiceReply {
  if (dataSet === undefined) return refuse(COMMITMENT_STATUS.missingAttribute, 'there is no data set');
  try {
    const read = readCommitmentDataSet(dataSet, transferSyntaxUid);
    const { transactionUid } = read;
    if (transactionUid === undefined)
      return refuse(COMMITMENT_STATUS.missingAttribute, 'Transaction UID is missing');
    if (transactionUid === '')
      return refuse(COMMITMENT_STATUS.missingAttributeValue, 'Transaction UID is empty');
    if (!isUid(transactionUid)) return refuse(COMMITMENT_STATUS.invalidArgument, 'Transaction UID is no UID');
    return { ...read, transactionUid };
  } catch (error) {
    const { code, message } = toGatewayError(error);
    const status =
      code === 'STUDY_TOO_LARGE' ? COMMITMENT_STATUS.resourceLimitation : COMMITMENT_STATUS.invalidArgument;
    return refuse(status, message);
  }
}

/** An instance that is named twice is answered for once. */
function unique(references: readonly InstanceReference[]): readonly InstanceReference[] {
  return [
    ...new Map(references.map((each) => [`${each.sopInstanceUid} ${each.sopClassUid}`, each])).values(),
  ];
}

function refuse(status: number, comment: string): ServiceReply {
  return { status, comment };
}

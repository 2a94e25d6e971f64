/**
 * The commands of an SCU (PS3.7 §9.3.1, §9.3.5, §10.3), and its answers to what a PACS asks on an association that we
 * opened: storage commitment reports, if there is a service for them.
 */
import { VERIFICATION_SOP_CLASS } from '../dicom/sop-classes.js';
import { COMMAND_FIELDS, type CommandElements, RESPONSE_BIT } from './command-set.js';
import type { ProposedContext } from './scu-library.js';
import type { Message } from './scu-message.js';
import type { AssociationService, OwnRequest, ServicePeer } from './service.js';

/** Priority (0000,0700): medium, as everybody sends. */
const MEDIUM = 0;
const STATUS = {
  success: 0x0000,
  processingFailure: 0x0110,
  unrecognizedOperation: 0x0211,
  resourceLimitation: 0x0213,
} as const;

export function storeRequest(
  messageId: number,
  instance: { readonly sopClassUid: string; readonly sopInstanceUid: string },
): CommandElements {
  return {
    commandField: COMMAND_FIELDS.cStoreRequest,
    hasDataSet: true,
    messageId,
    priority: MEDIUM,
    affectedSopClassUid: instance.sopClassUid,
    affectedSopInstanceUid: instance.sopInstanceUid,
  };
}

export function echoRequest(messageId: number): CommandElements {
  return {
    commandField: COMMAND_FIELDS.cEchoRequest,
    hasDataSet: false,
    messageId,
    affectedSopClassUid: VERIFICATION_SOP_CLASS,
  };
}

export function ownRequest(messageId: number, request: OwnRequest): CommandElements {
  const { commandField, sopClassUid, sopInstanceUid, typeId } = request;
  const command = { commandField, hasDataSet: true, messageId };
  return commandField === COMMAND_FIELDS.nActionRequest
    ? {
        ...command,
        requestedSopClassUid: sopClassUid,
        requestedSopInstanceUid: sopInstanceUid,
        actionTypeId: typeId,
      }
    : {
        ...command,
        affectedSopClassUid: sopClassUid,
        affectedSopInstanceUid: sopInstanceUid,
        eventTypeId: typeId,
      };
}

/** The service for the SOP class of a presentation context. */
export function serviceFor(
  services: readonly AssociationService[],
  sopClassUid: string | undefined,
): AssociationService | undefined {
  return services.find(({ sopClassUids }) => sopClassUid !== undefined && sopClassUids.includes(sopClassUid));
}

/** Answers what the peer asks. Never throws. @param context the one that it came on */
export async function answerRequest(
  { contextId, command, dataSet, tooLarge }: Message,
  context: ProposedContext | undefined,
  service: AssociationService | undefined,
  peer: ServicePeer,
): Promise<CommandElements> {
  const answer = (status: number, comment?: string): CommandElements => ({
    commandField: command.commandField | RESPONSE_BIT,
    hasDataSet: false,
    messageIdBeingRespondedTo: command.messageId,
    status,
    ...(command.sopClassUid === '' ? {} : { affectedSopClassUid: command.sopClassUid }),
    ...(command.sopInstanceUid === '' ? {} : { affectedSopInstanceUid: command.sopInstanceUid }),
    ...(command.eventTypeId === undefined ? {} : { eventTypeId: command.eventTypeId }),
    ...(command.actionTypeId === undefined ? {} : { actionTypeId: command.actionTypeId }),
    ...(comment === undefined ? {} : { errorComment: comment }),
  });
  if (command.commandField === COMMAND_FIELDS.cEchoRequest) return answer(STATUS.success);
  if (service === undefined || context === undefined) return answer(STATUS.unrecognizedOperation);
  if (tooLarge === true) return answer(STATUS.resourceLimitation);
  try {
    const reply = await service.serve(
      { contextId, ...context, command, ...(dataSet === undefined ? {} : { dataSet }) },
      peer,
    );
    return answer(reply.status, reply.comment);
  } catch {
    return answer(STATUS.processingFailure);
  }
}

/**
 * An A-ASSOCIATE-RQ as its peer wrote it (PS3.8 §9.3.2). What cannot be read is thrown at; what can be read but must not
 * stand there is told in a word by `requestFault`, so that the peer and its engineer learn of it.
 */
import { withoutPadding } from '../domain/uid.js';
import {
  ASSOCIATE_ITEMS,
  type AssociateItem,
  brokenItem,
  hex,
  readAssociatePdu,
  readItems,
  readUid,
} from './associate-pdu.js';
import { readUserItems, type UserItems } from './user-items.js';

/** A presentation context as it is proposed (§9.3.2.2). */
export interface OfferedContext {
  readonly id: number;
  readonly abstractSyntaxUid: string;
  /** In the order of the peer's preference. */
  readonly transferSyntaxUids: readonly string[];
}

export interface AssociationRequest {
  /** Both trimmed, and anything that fits in 16 characters. */
  readonly callingAe: string;
  readonly calledAe: string;
  readonly speaksVersionOne: boolean;
  readonly applicationContextUid: string;
  readonly contexts: readonly OfferedContext[];
  readonly items: UserItems;
}

/** Why a request cannot be served, whoever sent it. */
export interface RequestFault {
  readonly kind: 'version' | 'application-context' | 'malformed';
  readonly message: string;
}

const CALLED_AE_AT = 10;
const CALLING_AE_AT = 26;
const AE_BYTES = 16;
/** The one application context that DICOM has (PS3.7 Annex A.2.1). */
const DICOM_APPLICATION_CONTEXT = '1.2.840.10008.3.1.1.1';
/** Odd numbers of one byte. */
const MAX_CONTEXTS = 128;
/** Less than that holds no command set in fragments of reasonable size; 0 stands for any length. */
const MIN_PDU_BYTES = 128;

/**
 * @param pdu whole, header included
 * @throws PDU_TOO_LARGE when it cannot be read
 */
export function readAssociationRequest(pdu: Buffer): AssociationRequest {
  const { protocolVersion, items } = readAssociatePdu(pdu);
  const applicationContext = items.find(({ type }) => type === ASSOCIATE_ITEMS.applicationContext);
  return {
    callingAe: readAeTitle(pdu, CALLING_AE_AT),
    calledAe: readAeTitle(pdu, CALLED_AE_AT),
    speaksVersionOne: (protocolVersion & 1) === 1,
    applicationContextUid: applicationContext === undefined ? '' : readUid(applicationContext.bytes),
    contexts: items.filter(({ type }) => type === ASSOCIATE_ITEMS.proposedContext).map(readContext),
    items: readUserItems(pdu),
  };
}

/** What of the request breaks the standard, or undefined. */
export function requestFault(request: AssociationRequest): RequestFault | undefined {
  const { contexts, items } = request;
  if (!request.speaksVersionOne) {
    return { kind: 'version', message: 'the peer does not speak version 1 of the protocol' };
  }
  if (request.applicationContextUid !== DICOM_APPLICATION_CONTEXT) {
    return {
      kind: 'application-context',
      message: 'the peer asks for another application context than that of DICOM',
    };
  }
  const malformed = (message: string): RequestFault => ({ kind: 'malformed', message });
  if (contexts.length === 0) return malformed('no presentation context is proposed');
  if (contexts.length > MAX_CONTEXTS) {
    return malformed(
      `${contexts.length} presentation contexts are proposed, expected at most ${MAX_CONTEXTS}`,
    );
  }
  const even = contexts.find(({ id }) => id % 2 === 0);
  if (even !== undefined) {
    return malformed(`a presentation context has the id ${even.id}, expected an odd number`);
  }
  const ids = contexts.map(({ id }) => id);
  const repeated = ids.find((id, index) => ids.indexOf(id) !== index);
  if (repeated !== undefined) {
    return malformed(`the presentation context id ${repeated} stands there more than once`);
  }
  const { maxPduBytes } = items;
  return maxPduBytes !== undefined && maxPduBytes !== 0 && maxPduBytes < MIN_PDU_BYTES
    ? malformed(
        `the peer takes PDUs of ${maxPduBytes} bytes, expected ${MIN_PDU_BYTES} or more, or 0 for any`,
      )
    : undefined;
}

function readContext({ bytes }: AssociateItem): OfferedContext {
  // Id, and three reserved bytes.
  if (bytes.length < 4) throw brokenItem(`item ${hex(ASSOCIATE_ITEMS.proposedContext)} is cut off`);
  const syntaxes = readItems(bytes.subarray(4));
  const uids = (wanted: number) =>
    syntaxes.filter(({ type }) => type === wanted).map((item) => readUid(item.bytes));
  return {
    id: bytes.readUInt8(0),
    abstractSyntaxUid: uids(ASSOCIATE_ITEMS.abstractSyntax)[0] ?? '',
    transferSyntaxUids: uids(ASSOCIATE_ITEMS.transferSyntax),
  };
}

/** Blanks around it mean nothing (PS3.5 §6.2, AE); some pad with NULs. Anything else is part of it. */
function readAeTitle(pdu: Buffer, at: number): string {
  return withoutPadding(pdu.toString('latin1', at, at + AE_BYTES)).replace(/^ +/, '');
}

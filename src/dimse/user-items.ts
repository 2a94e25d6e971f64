/**
 * The user information of A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.7 Annex D.3.3, PS3.8 Annex D): what two sides settle
 * besides presentation contexts. Reads all of it; writes what the library does not, in place of what it may have
 * written by itself. What we answer is decided in `negotiation`.
 */
import {
  ASSOCIATE_ITEMS,
  type AssociateItem,
  brokenItem,
  formatItem,
  hex,
  readAssociatePdu,
  readItems,
  readUid,
  replaceItems,
} from './associate-pdu.js';
import { counted, ItemFields, uint16, uint32 } from './item-fields.js';

/** SCP/SCU role selection (§D.3.3.4): the roles that the requestor proposes, or that are accepted of them. */
export interface RoleSelection {
  readonly sopClassUid: string;
  readonly scu: boolean;
  readonly scp: boolean;
}

/** SOP class extended negotiation (§D.3.3.5). */
export interface ExtendedNegotiation {
  readonly sopClassUid: string;
  /** Service-class-application-information, as the service class defines it. */
  readonly information: Buffer;
}

/** SOP class common extended negotiation (§D.3.3.6); it is never answered. */
export interface CommonExtendedNegotiation {
  readonly sopClassUid: string;
  readonly serviceClassUid: string;
  readonly relatedSopClassUids: readonly string[];
}

/** User identity as the requestor gives it (§D.3.3.7.1). */
export interface UserIdentity {
  /** 1 user name; 2 user name and passcode; 3 Kerberos service ticket; 4 SAML assertion; 5 JSON Web Token */
  readonly type: number;
  /** The acceptor is asked to confirm. */
  readonly responseRequested: boolean;
  /** The user name, or the ticket, assertion or token. */
  readonly primary: Buffer;
  /** The passcode; empty with all types but 2. */
  readonly secondary: Buffer;
}

export interface UserItems {
  /** Maximum length that the sender of the item receives (51H); 0: unlimited. */
  readonly maxPduBytes?: number;
  /** 52H */
  readonly implementationClassUid?: string;
  /** 55H */
  readonly implementationVersionName?: string;
  /** Asynchronous operations window (53H): what the requestor may invoke and perform; 0: any number. */
  readonly asyncOperations?: { readonly invoked: number; readonly performed: number };
  /** 54H; one for each SOP class. */
  readonly roles: readonly RoleSelection[];
  /** 56H; one for each SOP class. */
  readonly extended: readonly ExtendedNegotiation[];
  /** 57H */
  readonly commonExtended: readonly CommonExtendedNegotiation[];
  /** 58H, of the requestor alone */
  readonly userIdentity?: UserIdentity;
  /** 59H, of the acceptor alone: its server response, empty for user names */
  readonly userIdentityResponse?: Buffer;
}

const TYPES = {
  maxLength: 0x51,
  implementationClass: 0x52,
  asyncOperations: 0x53,
  role: 0x54,
  implementationVersion: 0x55,
  extended: 0x56,
  commonExtended: 0x57,
  userIdentity: 0x58,
  userIdentityResponse: 0x59,
} as const;

/** What the library may have written from what it read: only ours shall stand there. */
const OURS: ReadonlySet<number> = new Set([
  TYPES.asyncOperations,
  TYPES.role,
  TYPES.extended,
  TYPES.commonExtended,
  TYPES.userIdentity,
  TYPES.userIdentityResponse,
]);
/** An association has 128 presentation contexts at most; items about more SOP classes than that mean nothing. */
const MAX_ITEMS_OF_A_TYPE = 128;

/**
 * The user information of an association request or of its acceptance. Items of unknown types are passed over
 * (PS3.8 §9.3.1).
 * @param associatePdu A-ASSOCIATE-RQ or A-ASSOCIATE-AC, whole, header included
 * @throws PDU_TOO_LARGE when a length is wrong, or an item stands twice that may stand once
 */
export function readUserItems(associatePdu: Buffer): UserItems {
  const informations = readAssociatePdu(associatePdu).items.filter(
    ({ type }) => type === ASSOCIATE_ITEMS.userInformation,
  );
  const [information] = informations;
  if (informations.length > 1) throw brokenItem(`item ${hex(ASSOCIATE_ITEMS.userInformation)} stands twice`);
  const items = information === undefined ? [] : readItems(information.bytes);
  const all = (type: number) => {
    const found = items.filter((item) => item.type === type);
    if (found.length > MAX_ITEMS_OF_A_TYPE) {
      throw brokenItem(
        `item ${hex(type)} stands ${found.length} times, expected at most ${MAX_ITEMS_OF_A_TYPE}`,
      );
    }
    return found.map(({ bytes }) => new ItemFields(type, bytes));
  };
  const one = (type: number) => {
    const [first, second] = all(type);
    if (second !== undefined) throw brokenItem(`item ${hex(type)} stands twice`);
    return first;
  };

  const maxPduBytes = one(TYPES.maxLength)?.last((fields) => fields.uint32());
  const implementationClassUid = one(TYPES.implementationClass)?.last((fields) => readUid(fields.rest()));
  const implementationVersionName = one(TYPES.implementationVersion)?.last((fields) =>
    readUid(fields.rest()),
  );
  const asyncOperations = one(TYPES.asyncOperations)?.last((fields) => ({
    invoked: fields.uint16(),
    performed: fields.uint16(),
  }));
  const userIdentity = one(TYPES.userIdentity)?.last(readIdentity);
  const userIdentityResponse = one(TYPES.userIdentityResponse)?.last((fields) => fields.counted());
  return {
    ...(maxPduBytes === undefined ? {} : { maxPduBytes }),
    ...(implementationClassUid === undefined ? {} : { implementationClassUid }),
    ...(implementationVersionName === undefined ? {} : { implementationVersionName }),
    ...(asyncOperations === undefined ? {} : { asyncOperations }),
    roles: unique(
      TYPES.role,
      all(TYPES.role).map((fields) => fields.last(readRole)),
    ),
    extended: unique(
      TYPES.extended,
      all(TYPES.extended).map((fields) => fields.last(readExtended)),
    ),
    commonExtended: unique(
      TYPES.commonExtended,
      all(TYPES.commonExtended).map((fields) => fields.last(readCommonExtended)),
    ),
    ...(userIdentity === undefined ? {} : { userIdentity }),
    ...(userIdentityResponse === undefined ? {} : { userIdentityResponse }),
  };
}

/**
 * The PDU with these items, and without those of the same kind that the library wrote from what it read: roles, window,
 * extended negotiation and user identity stand there as `items` says, or not at all. A maximum length that is given
 * takes the place of the library's; implementation class and version stay.
 * @throws PDU_TOO_LARGE when the PDU cannot be read; REQUEST_INVALID when the items are more than it can hold
 */
export function addUserItems(associatePdu: Buffer, items: Partial<UserItems>): Buffer {
  const pduItems = readAssociatePdu(associatePdu).items;
  const written = pduItems.find(({ type }) => type === ASSOCIATE_ITEMS.userInformation);
  const kept = (written === undefined ? [] : readItems(written.bytes)).filter(
    ({ type }) => !OURS.has(type) && !(type === TYPES.maxLength && items.maxPduBytes !== undefined),
  );
  const inOrder = [...kept, ...formatUserItems(items)].sort((a, b) => a.type - b.type);
  const bytes = Buffer.concat(inOrder.map(formatItem));
  return replaceItems(associatePdu, [
    ...pduItems.filter((item) => item !== written),
    { type: ASSOCIATE_ITEMS.userInformation, bytes },
  ]);
}

function formatUserItems(items: Partial<UserItems>): AssociateItem[] {
  const { maxPduBytes, asyncOperations, userIdentity, userIdentityResponse } = items;
  return [
    ...(maxPduBytes === undefined ? [] : [{ type: TYPES.maxLength, bytes: uint32(maxPduBytes) }]),
    ...(asyncOperations === undefined
      ? []
      : [
          {
            type: TYPES.asyncOperations,
            bytes: Buffer.concat([uint16(asyncOperations.invoked), uint16(asyncOperations.performed)]),
          },
        ]),
    ...(items.roles ?? []).map(({ sopClassUid, scu, scp }) => ({
      type: TYPES.role,
      bytes: Buffer.concat([counted(uid(sopClassUid)), Buffer.from([Number(scu), Number(scp)])]),
    })),
    ...(items.extended ?? []).map(({ sopClassUid, information }) => ({
      type: TYPES.extended,
      bytes: Buffer.concat([counted(uid(sopClassUid)), information]),
    })),
    ...(items.commonExtended ?? []).map(({ sopClassUid, serviceClassUid, relatedSopClassUids }) => ({
      type: TYPES.commonExtended,
      bytes: Buffer.concat([
        counted(uid(sopClassUid)),
        counted(uid(serviceClassUid)),
        counted(Buffer.concat(relatedSopClassUids.map((related) => counted(uid(related))))),
      ]),
    })),
    ...(userIdentity === undefined
      ? []
      : [
          {
            type: TYPES.userIdentity,
            bytes: Buffer.concat([
              Buffer.from([userIdentity.type, Number(userIdentity.responseRequested)]),
              counted(userIdentity.primary),
              counted(userIdentity.secondary),
            ]),
          },
        ]),
    ...(userIdentityResponse === undefined
      ? []
      : [{ type: TYPES.userIdentityResponse, bytes: counted(userIdentityResponse) }]),
  ];
}

function readRole(fields: ItemFields): RoleSelection {
  return { sopClassUid: readUid(fields.counted()), scu: fields.uint8() === 1, scp: fields.uint8() === 1 };
}

function readExtended(fields: ItemFields): ExtendedNegotiation {
  return { sopClassUid: readUid(fields.counted()), information: fields.rest() };
}

function readCommonExtended(fields: ItemFields): CommonExtendedNegotiation {
  const sopClassUid = readUid(fields.counted());
  const serviceClassUid = readUid(fields.counted());
  const related = new ItemFields(TYPES.commonExtended, fields.counted());
  // Of a later version of the item there may be more.
  fields.rest();
  const relatedSopClassUids: string[] = [];
  while (!related.isAtEnd()) relatedSopClassUids.push(readUid(related.counted()));
  return { sopClassUid, serviceClassUid, relatedSopClassUids };
}

function readIdentity(fields: ItemFields): UserIdentity {
  return {
    type: fields.uint8(),
    responseRequested: fields.uint8() === 1,
    primary: fields.counted(),
    secondary: fields.counted(),
  };
}

/** Some send one for each presentation context, so that the same stands there several times. */
function unique<T extends { readonly sopClassUid: string }>(type: number, found: readonly T[]): readonly T[] {
  const bySopClass = new Map<string, T>();
  for (const each of found) {
    const other = bySopClass.get(each.sopClassUid);
    if (other !== undefined && JSON.stringify(other) !== JSON.stringify(each)) {
      throw brokenItem(`two items ${hex(type)} contradict each other for one SOP class`);
    }
    bySopClass.set(each.sopClassUid, each);
  }
  return [...bySopClass.values()];
}

function uid(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

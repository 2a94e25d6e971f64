/**
 * What we answer to the user information of an association request (PS3.7 Annex D.3.3): never to what was not asked,
 * and never more than was asked.
 */
import { VERIFICATION } from './association-policy.js';
import type { ExtendedNegotiation, RoleSelection, UserItems } from './user-items.js';

export interface NegotiationTerms {
  /** Operations that may be outstanding on one association, in either direction; 1 or more. */
  readonly asyncOperations: number;
  /** SOP classes of the accepted presentation contexts. */
  readonly acceptedSopClassUids: ReadonlySet<string>;
  /** SOP classes that are neither Verification nor storage: here the requestor may be the SCP as well. */
  readonly serviceSopClassUids: ReadonlySet<string>;
}

/**
 * Storage (PS3.4 Table B.3-2): level 2 of support, since we keep every attribute; level 3 of digital signatures, since
 * every bit stays as it is; and therefore no data element is coerced.
 */
const STORAGE_INFORMATION = Buffer.from([2, 0, 3, 0, 0, 0]);

/** The items of our A-ASSOCIATE-AC, but for user identity. */
export function answerUserItems(asked: UserItems, terms: NegotiationTerms): Partial<UserItems> {
  const window = asked.asyncOperations;
  return {
    ...(window === undefined
      ? {}
      : {
          asyncOperations: {
            invoked: lessOf(window.invoked, terms.asyncOperations),
            performed: lessOf(window.performed, terms.asyncOperations),
          },
        }),
    roles: asked.roles.flatMap((role) => answerRole(role, terms)),
    extended: asked.extended.flatMap(({ sopClassUid }) => answerExtended(sopClassUid, terms)),
  };
}

/**
 * Operations that the requestor may have outstanding, which is what both sides call "invoked" (§D.3.3.3): ours to
 * perform. 1 where nothing was negotiated.
 */
export function operationsWindow(answer: Partial<UserItems>): number {
  return answer.asyncOperations?.invoked ?? 1;
}

/** 0 asks for any number. */
function lessOf(asked: number, ours: number): number {
  return asked === 0 ? ours : Math.min(asked, ours);
}

/** Whoever calls us may be the SCU. The SCP of a service may be that, so that it can send us its notifications. */
function answerRole({ sopClassUid, scu, scp }: RoleSelection, terms: NegotiationTerms): RoleSelection[] {
  return terms.acceptedSopClassUids.has(sopClassUid)
    ? [{ sopClassUid, scu, scp: scp && terms.serviceSopClassUids.has(sopClassUid) }]
    : [];
}

function answerExtended(sopClassUid: string, terms: NegotiationTerms): ExtendedNegotiation[] {
  const isStorage =
    terms.acceptedSopClassUids.has(sopClassUid) &&
    !terms.serviceSopClassUids.has(sopClassUid) &&
    sopClassUid !== VERIFICATION;
  return isStorage ? [{ sopClassUid, information: STORAGE_INFORMATION }] : [];
}

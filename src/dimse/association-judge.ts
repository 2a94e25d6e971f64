/**
 * Decides about an association request: whether it can be served at all, whether there is room for one more, who
 * calls and in whose name, and what its contexts and items are answered with. Whoever is refused is told by the reason
 * that PS3.8 has for it; our own people are told in words, in the log and on the dashboard.
 */
import { lookup } from 'node:dns/promises';
import { isUid } from '../domain/uid.js';
import type { ErrorCode } from '../errors/codes.js';
import { toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import {
  type AssociationPolicy,
  type Caller,
  type ContextResult,
  judgeCaller,
  judgeContext,
  REJECTIONS,
  type Rejection,
  type Standing,
} from './association-policy.js';
import { type AssociationRequest, type RequestFault, requestFault } from './association-request.js';
import type { CallerLimits } from './caller-limits.js';
import { answerUserItems, operationsWindow } from './negotiation.js';
import { checkUserIdentity, type KnownUser, type UserPolicy } from './user-identity.js';
import type { UserItems } from './user-items.js';

/** Who asks, and from where. */
export interface Applicant extends AssociationRequest, Pick<Caller, 'remoteAddress' | 'certificate'> {}

/** What an association that is taken gets. */
export interface Acceptance {
  /** By presentation context id. */
  readonly contexts: ReadonlyMap<number, ContextResult>;
  /** Of the A-ASSOCIATE-AC, besides those that the library writes. */
  readonly items: Partial<UserItems>;
  /** Operations that the peer may have outstanding, 1 or more. */
  readonly asyncOperations: number;
  /** As given; for the log. */
  readonly userName?: string;
}

export type Verdict = { readonly rejection: Rejection } | { readonly acceptance: Acceptance };

interface Accepted {
  readonly acceptance: Acceptance;
  readonly standing: Standing;
}

export type AssociationJudge = (applicant: Applicant) => Promise<Verdict>;

export interface RefusedAssociation {
  readonly code: ErrorCode;
  readonly callingAe: string;
  readonly calledAe: string;
  readonly remoteAddress: string;
  /** In words, where the code alone does not tell; absent titles go with it: nothing of DICOM was read. */
  readonly reason?: string;
}

export interface JudgeParts {
  readonly policy: AssociationPolicy;
  readonly users: UserPolicy;
  readonly serviceSopClassUids: ReadonlySet<string>;
  readonly asyncOperations: number;
  readonly limits: CallerLimits;
  readonly log: Log;
  /** Why nobody is taken now, or not this one. */
  readonly overload: (remoteAddress: string) => Refusal | undefined;
  readonly refused?: ((refusal: RefusedAssociation) => void) | undefined;
}

export interface Refusal {
  readonly rejection: Rejection;
  readonly message: string;
  /** Told not long ago: the log would be filled by whoever knocks without end. */
  readonly isRepeated?: boolean;
}

/** One line of the log names so many. */
const SHOWN_SOP_CLASSES = 8;

const FAULTS: Readonly<Record<RequestFault['kind'], Rejection>> = {
  version: REJECTIONS.PROTOCOL_VERSION,
  'application-context': REJECTIONS.APPLICATION_CONTEXT,
  malformed: REJECTIONS.MALFORMED,
};

export function createAssociationJudge(parts: JudgeParts): AssociationJudge {
  const { policy, log } = parts;

  const judge = async (applicant: Applicant): Promise<Refusal | Accepted> => {
    const { remoteAddress } = applicant;
    const admission = parts.limits.admits(remoteAddress);
    if (admission !== 'admitted') {
      return {
        rejection: REJECTIONS.RATE_LIMIT,
        message: 'its host has opened too many associations in the last minute',
        isRepeated: admission === 'refused-again',
      };
    }
    const overload = parts.overload(remoteAddress);
    if (overload !== undefined) return overload;
    const fault = requestFault(applicant);
    if (fault !== undefined) return { rejection: FAULTS[fault.kind], message: fault.message };
    const caller = await judgeCaller(policy, applicant, resolveHost);
    if ('rejection' in caller) return caller;
    // A PACS that reports is known by what it reports on.
    const users = caller.standing === 'pacs' ? { ...parts.users, required: false } : parts.users;
    const user = await knownUser(users, applicant.items, log);
    if ('rejection' in user) return user;
    const contexts = new Map(
      applicant.contexts.map((context) => [
        context.id,
        judgeContext(policy, caller.standing, context, parts.serviceSopClassUids),
      ]),
    );
    // Names may have taken their time to resolve, and others have come meanwhile.
    const late = parts.overload(remoteAddress);
    const { standing } = caller;
    return late ?? { acceptance: accept(parts, applicant, contexts, user), standing };
  };

  return async (applicant) => {
    const verdict = await judge(applicant);
    const { callingAe, calledAe, remoteAddress } = applicant;
    if ('acceptance' in verdict) {
      tellRefusedContexts(applicant, verdict, parts);
      return { acceptance: verdict.acceptance };
    }
    const { code } = verdict.rejection;
    const facts = { event: 'association.rejected', code, callingAe, calledAe, remoteAddress };
    log[verdict.isRepeated ? 'debug' : 'warn'](facts, verdict.message);
    parts.refused?.({ code, callingAe, calledAe, remoteAddress, reason: verdict.message });
    return verdict;
  };
}

function accept(
  { serviceSopClassUids, asyncOperations }: JudgeParts,
  { contexts: offered, items: asked }: Applicant,
  contexts: ReadonlyMap<number, ContextResult>,
  user: KnownUser,
): Acceptance {
  const accepted = offered.filter(({ id }) => contexts.get(id)?.result === 0);
  const answer = answerUserItems(asked, {
    asyncOperations,
    acceptedSopClassUids: new Set(accepted.map(({ abstractSyntaxUid }) => abstractSyntaxUid)),
    serviceSopClassUids,
  });
  return {
    contexts,
    items: { ...answer, ...(user.response === undefined ? {} : { userIdentityResponse: user.response }) },
    asyncOperations: operationsWindow(answer),
    ...(user.name === undefined ? {} : { userName: user.name }),
  };
}

async function knownUser(users: UserPolicy, items: UserItems, log: Log): Promise<KnownUser | Refusal> {
  try {
    return (await checkUserIdentity(users, items.userIdentity, log)) ?? {};
  } catch (error) {
    const { code, message } = toGatewayError(error);
    if (code !== 'USER_UNKNOWN') throw error;
    return { rejection: REJECTIONS.USER_UNKNOWN, message };
  }
}

/** Modalities rarely show why they do not send: what is refused them is told here. */
function tellRefusedContexts(
  { contexts: offered, callingAe, calledAe, remoteAddress }: Applicant,
  { acceptance: { contexts }, standing }: Accepted,
  { log, refused }: JudgeParts,
): void {
  const unsupported = offered.filter(({ id }) => contexts.get(id)?.result !== 0);
  if (unsupported.length === 0) return;
  const sopClassUids = [...new Set(unsupported.map(({ abstractSyntaxUid }) => abstractSyntaxUid))]
    .slice(0, SHOWN_SOP_CLASSES)
    .map((uid) => (isUid(uid) ? uid : '(no UID)'))
    .join(' ');
  const facts = { event: 'association.contexts_refused', callingAe, remoteAddress, sopClassUids };
  if (unsupported.length < offered.length) {
    log.info({ ...facts, count: unsupported.length });
    return;
  }
  const message =
    standing === 'pacs'
      ? 'it is one of our PACS, which may report on commitment alone; to send, it must be in dimse.callers'
      : `none of its ${offered.length} presentation contexts can be taken: ${sopClassUids}`;
  log.warn({ ...facts, code: 'CONTEXT_UNSUPPORTED' }, message);
  refused?.({ code: 'CONTEXT_UNSUPPORTED', callingAe, calledAe, remoteAddress, reason: message });
}

/** The addresses of a host; none when its name cannot be resolved. */
export async function resolveHost(hostName: string): Promise<readonly string[]> {
  try {
    return (await lookup(hostName, { all: true })).map(({ address }) => address);
  } catch {
    // A name that cannot be resolved lets nobody in.
    return [];
  }
}

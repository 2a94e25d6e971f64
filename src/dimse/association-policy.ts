/**
 * Who may open an association, and which presentation contexts it gets (PS3.8 §9.3.3, §9.3.4). Pure: host names are
 * resolved by the caller.
 */
import { BlockList, isIP } from 'node:net';
import { isStorageSopClass } from '../dicom/sop-classes.js';
import { TRANSFER_SYNTAXES } from '../dicom/transfer-syntaxes.js';
import { isUid } from '../domain/uid.js';
import type { ErrorCode } from '../errors/codes.js';
import type { OfferedContext } from './association-request.js';

export interface AllowedCaller {
  readonly aeTitle: string;
  /** Addresses, networks such as `10.1.0.0/16`, or host names; absent: any. */
  readonly hosts?: readonly string[] | undefined;
  /** It must show one of these, by TLS: fingerprints, or names that a certificate is made for; absent: none is asked for. */
  readonly certificates?: readonly string[] | undefined;
}

/** What a caller has shown by TLS, and what was found good. */
export interface CallerCertificate {
  /** SHA-256: 64 lower hex digits. */
  readonly fingerprint: string;
  /** Whether it is made for this name, as those of hosts are (RFC 9525 §6). */
  isFor(name: string): boolean;
}

/** Who asks for an association. */
export interface Caller {
  readonly callingAe: string;
  readonly calledAe: string;
  readonly remoteAddress: string;
  /** Absent without TLS, and where none was asked for and none shown. */
  readonly certificate?: CallerCertificate | undefined;
}

/** A PACS that we have asked to commit to instances, and that may report on an association of its own. */
export interface ReportingPacs {
  readonly aeTitle: string;
  /** The AE title that we call it with, by which it calls back. */
  readonly callingAe: string;
}

export interface AssociationPolicy {
  readonly calledAes: readonly string[];
  readonly callers: readonly AllowedCaller[];
  /** Take any calling AE title; for trials only. */
  readonly anyCaller: boolean;
  readonly privateSopClasses: readonly string[];
  /** These get Verification and the services, and nothing to store, unless they are callers as well. */
  readonly reportingPacs?: readonly ReportingPacs[];
}

/** A-ASSOCIATE-RJ (PS3.8 Table 9-21). */
export interface Rejection {
  readonly code: ErrorCode;
  /** 1 permanent, 2 transient */
  readonly result: 1 | 2;
  /** 1 service user, 2 service provider (ACSE), 3 service provider (presentation) */
  readonly source: 1 | 2 | 3;
  readonly reason: number;
}

export const REJECTIONS = {
  CALLING_AE_UNKNOWN: { code: 'CALLING_AE_UNKNOWN', result: 1, source: 1, reason: 3 },
  CALLING_AE_UNPROVED: { code: 'CALLING_AE_UNPROVED', result: 1, source: 1, reason: 3 },
  CALLED_AE_UNKNOWN: { code: 'CALLED_AE_UNKNOWN', result: 1, source: 1, reason: 7 },
  /** The standard has no reason of its own for users (PS3.7 §D.3.3.7). */
  USER_UNKNOWN: { code: 'USER_UNKNOWN', result: 1, source: 1, reason: 1 },
  APPLICATION_CONTEXT: { code: 'REQUEST_INVALID', result: 1, source: 1, reason: 2 },
  PROTOCOL_VERSION: { code: 'REQUEST_INVALID', result: 1, source: 2, reason: 2 },
  MALFORMED: { code: 'REQUEST_INVALID', result: 1, source: 2, reason: 1 },
  ASSOCIATION_LIMIT: { code: 'ASSOCIATION_LIMIT', result: 2, source: 3, reason: 2 },
  RATE_LIMIT: { code: 'RATE_LIMIT', result: 2, source: 3, reason: 1 },
  SHUTTING_DOWN: { code: 'SHUTTING_DOWN', result: 2, source: 3, reason: 1 },
  SPOOL_ABOVE_WATERMARK: { code: 'SPOOL_ABOVE_WATERMARK', result: 2, source: 3, reason: 1 },
} as const satisfies Record<string, Rejection>;

/** Verification SOP Class (PS3.4 Annex A). */
export const VERIFICATION = '1.2.840.10008.1.1';
/** What the data sets of services can be read and written in; the first one that is offered of these. */
const SERVICE_TRANSFER_SYNTAXES = ['1.2.840.10008.1.2.1', '1.2.840.10008.1.2'];

/** What a caller may do: send instances, or report on those that it was sent. */
export type Standing = 'modality' | 'pacs';

export type CallerVerdict =
  | { readonly standing: Standing }
  | { readonly rejection: Rejection; readonly message: string };

/** What a caller is to us, or the rejection that it gets and why. */
export async function judgeCaller(
  policy: AssociationPolicy,
  caller: Caller,
  resolve: (hostName: string) => Promise<readonly string[]>,
): Promise<CallerVerdict> {
  const { callingAe, calledAe, remoteAddress, certificate } = caller;
  const isCalled = policy.calledAes.includes(calledAe);
  const known = policy.callers.filter(({ aeTitle }) => aeTitle === callingAe);
  let isThere = false;
  if (isCalled) {
    if (policy.anyCaller) return { standing: 'modality' };
    for (const { hosts, certificates } of known) {
      if (hosts !== undefined && !(await isAmong(hosts, remoteAddress, resolve))) continue;
      if (certificates === undefined || shows(certificate, certificates)) return { standing: 'modality' };
      isThere = true;
    }
  }
  // From any address: what has several may report from another than the one that it listens at.
  const isReporting = policy.reportingPacs?.some(
    (pacs) => pacs.aeTitle === callingAe && (isCalled || pacs.callingAe === calledAe),
  );
  if (isReporting) return { standing: 'pacs' };
  if (!isCalled) {
    return {
      rejection: REJECTIONS.CALLED_AE_UNKNOWN,
      message: `it calls an AE title that is not ours, expected ${policy.calledAes.join(' or ')}`,
    };
  }
  // Else an operator would be asked to let the title in by its host alone.
  const isTied = known.some(({ certificates }) => certificates !== undefined);
  return {
    rejection: isTied ? REJECTIONS.CALLING_AE_UNPROVED : REJECTIONS.CALLING_AE_UNKNOWN,
    message: wordsForStranger(),
  };

  function wordsForStranger(): string {
    if (known.length === 0) return 'its AE title is not one of dimse.callers';
    if (!isThere) return `its AE title may not call from ${remoteAddress}, by dimse.callers`;
    return certificate === undefined
      ? 'its AE title may call with TLS and a certificate of its own alone, by dimse.callers'
      : `its AE title may not call with the certificate ${certificate.fingerprint}, by dimse.callers`;
  }
}

function shows(certificate: CallerCertificate | undefined, expected: readonly string[]): boolean {
  return expected.some((one) => certificate?.fingerprint === one || certificate?.isFor(one));
}

/** The result of one proposed presentation context (PS3.8 Table 9-18). */
export type ContextResult =
  | { readonly result: 0; readonly transferSyntaxUid: string }
  /** 3: abstract syntax not supported; 4: transfer syntaxes not supported */
  | { readonly result: 3 | 4 };

/**
 * Of the transfer syntaxes offered for storage, the first one of the standard is accepted: the list is in the sender's
 * order of preference, and what the sender has on its disk it can send without converting. We take them all, so nothing
 * is gained by another choice. One that nobody knows is taken where nothing else is offered: it is carried as it is, but
 * can be converted for no PACS.
 * @param serviceSopClassUids SOP classes other than storage that are served
 */
export function judgeContext(
  policy: AssociationPolicy,
  standing: Standing,
  { abstractSyntaxUid, transferSyntaxUids }: Omit<OfferedContext, 'id'>,
  serviceSopClassUids: ReadonlySet<string>,
): ContextResult {
  let accepted: string | undefined;
  if (serviceSopClassUids.has(abstractSyntaxUid)) {
    accepted = SERVICE_TRANSFER_SYNTAXES.find((uid) => transferSyntaxUids.includes(uid));
  } else if (abstractSyntaxUid === VERIFICATION) {
    accepted = transferSyntaxUids.find(isKnown);
  } else if (mayStore(policy, standing, abstractSyntaxUid)) {
    accepted = transferSyntaxUids.find(isKnown) ?? transferSyntaxUids.find(isUid);
  } else {
    return { result: 3 };
  }
  return accepted === undefined ? { result: 4 } : { result: 0, transferSyntaxUid: accepted };
}

function isKnown(transferSyntaxUid: string): boolean {
  return TRANSFER_SYNTAXES.has(transferSyntaxUid);
}

function mayStore(policy: AssociationPolicy, standing: Standing, sopClassUid: string): boolean {
  return standing === 'modality' && isStorageSopClass(sopClassUid, policy.privateSopClasses);
}

/** Loopback and v4 callers on a v6 socket arrive as `::ffff:10.0.0.5`. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}

/** Whether an address is one of these hosts: addresses, networks, names. */
export async function isAmong(
  hosts: readonly string[],
  remoteAddress: string,
  resolve: (hostName: string) => Promise<readonly string[]>,
): Promise<boolean> {
  const address = plainAddress(remoteAddress);
  const list = new BlockList();
  for (const host of hosts) {
    const [network = '', prefix] = host.split('/');
    const family = isIP(network);
    if (family === 0) {
      for (const resolved of await resolve(host)) list.addAddress(resolved, familyName(isIP(resolved)));
    } else if (prefix === undefined) {
      list.addAddress(network, familyName(family));
    } else {
      list.addSubnet(network, Number(prefix), familyName(family));
    }
  }
  return list.check(address, familyName(isIP(address)));
}

function familyName(family: number): 'ipv4' | 'ipv6' {
  return family === 6 ? 'ipv6' : 'ipv4';
}

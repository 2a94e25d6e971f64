/**
 * Who may open an association, and which presentation contexts it gets (PS3.8 §9.3.3, §9.3.4). Pure: host names are
 * resolved by the caller.
 */
import { BlockList, isIP } from 'node:net';
import { isStorageSopClass } from '../dicom/sop-classes.js';
import type { ErrorCode } from '../errors/codes.js';

export interface AllowedCaller {
  readonly aeTitle: string;
  /** Addresses, networks such as `10.1.0.0/16`, or host names; absent: any. */
  readonly hosts?: readonly string[] | undefined;
}

export interface AssociationPolicy {
  readonly calledAes: readonly string[];
  readonly callers: readonly AllowedCaller[];
  /** Take any calling AE title; for trials only. */
  readonly anyCaller: boolean;
  readonly privateSopClasses: readonly string[];
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
  CALLED_AE_UNKNOWN: { code: 'CALLED_AE_UNKNOWN', result: 1, source: 1, reason: 7 },
  ASSOCIATION_LIMIT: { code: 'ASSOCIATION_LIMIT', result: 2, source: 3, reason: 2 },
  SHUTTING_DOWN: { code: 'SHUTTING_DOWN', result: 2, source: 3, reason: 1 },
  SPOOL_ABOVE_WATERMARK: { code: 'SPOOL_ABOVE_WATERMARK', result: 2, source: 3, reason: 1 },
} as const satisfies Record<string, Rejection>;

/** Verification SOP Class (PS3.4 Annex A). */
const VERIFICATION = '1.2.840.10008.1.1';

/** The rejection that a caller gets, or undefined when it is welcome. */
export async function judgeCaller(
  policy: AssociationPolicy,
  caller: { readonly callingAe: string; readonly calledAe: string; readonly remoteAddress: string },
  resolve: (hostName: string) => Promise<readonly string[]>,
): Promise<Rejection | undefined> {
  if (!policy.calledAes.includes(caller.calledAe)) return REJECTIONS.CALLED_AE_UNKNOWN;
  if (policy.anyCaller) return undefined;
  for (const allowed of policy.callers) {
    if (allowed.aeTitle !== caller.callingAe) continue;
    if (allowed.hosts === undefined || (await isAmong(allowed.hosts, caller.remoteAddress, resolve)))
      return undefined;
  }
  return REJECTIONS.CALLING_AE_UNKNOWN;
}

/** The result of one proposed presentation context (PS3.8 Table 9-18). */
export type ContextResult =
  | { readonly result: 0; readonly transferSyntaxUid: string }
  /** 3: abstract syntax not supported; 4: transfer syntaxes not supported */
  | { readonly result: 3 | 4 };

/**
 * Of the transfer syntaxes offered, the first one is accepted: the list is in the sender's order of preference, and what
 * the sender has on its disk it can send without converting. We take them all, so nothing is gained by another choice.
 */
export function judgeContext(
  policy: AssociationPolicy,
  abstractSyntaxUid: string,
  transferSyntaxUids: readonly string[],
): ContextResult {
  if (abstractSyntaxUid !== VERIFICATION && !isStorageSopClass(abstractSyntaxUid, policy.privateSopClasses)) {
    return { result: 3 };
  }
  const [first] = transferSyntaxUids;
  return first === undefined ? { result: 4 } : { result: 0, transferSyntaxUid: first };
}

/** Loopback and v4 callers on a v6 socket arrive as `::ffff:10.0.0.5`. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}

async function isAmong(
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

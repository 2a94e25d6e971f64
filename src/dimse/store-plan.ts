/**
 * Which instances go over which associations: those that are called for by the same AE title, and whose presentation
 * contexts fit into one proposal. What the PACS may not be offered by its config is told apart beforehand.
 */
import { VERIFICATION_SOP_CLASS } from '../dicom/sop-classes.js';
import {
  EXPLICIT_VR_LITTLE_ENDIAN,
  IMPLICIT_VR_LITTLE_ENDIAN,
  transferSyntax,
} from '../dicom/transfer-syntaxes.js';
import type { AeTitle } from '../domain/ae-title.js';
import { GatewayError } from '../errors/gateway-error.js';
import { keyOf } from './scu-contexts.js';
import type { ProposedContext } from './scu-library.js';

/** Ids are the odd numbers of a byte (PS3.8 §9.3.2.2). */
export const MAX_CONTEXTS = 128;
/** What an instance is converted to where its own transfer syntax is not taken: every PACS takes the second. */
const FALLBACKS = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN];

/** Asks whether a PACS is there, and one that was kept open still is. */
export const VERIFICATION: ProposedContext = {
  sopClassUid: VERIFICATION_SOP_CLASS,
  transferSyntaxUid: IMPLICIT_VR_LITTLE_ENDIAN,
};

export interface PlannedInstance extends ProposedContext {
  /** Who is to be named as the caller, instead of the bridge. */
  readonly callingAe?: AeTitle;
}

export interface PlanOptions {
  readonly callingAe: AeTitle;
  /** The only transfer syntaxes that may be proposed; any when absent. */
  readonly transferSyntaxes?: readonly string[];
  /** Instances may be converted to what the PACS takes. */
  readonly converts: boolean;
}

/** What goes over associations of one kind. */
export interface StoreGroup<T> {
  readonly callingAe: AeTitle;
  /** 1 to 128. */
  readonly contexts: readonly ProposedContext[];
  readonly instances: readonly T[];
}

export interface StorePlan<T> {
  readonly groups: readonly StoreGroup<T>[];
  /** Those for which nothing may be proposed. */
  readonly refused: readonly { readonly instance: T; readonly error: GatewayError }[];
}

export function planStores<T extends PlannedInstance>(
  instances: readonly T[],
  options: PlanOptions,
): StorePlan<T> {
  const open: OpenGroup<T>[] = [];
  const refused: { instance: T; error: GatewayError }[] = [];
  /** Kinds come in long runs. */
  const known = new Map<string, OpenGroup<T>>();
  for (const instance of instances) {
    const callingAe = instance.callingAe ?? options.callingAe;
    const kind = `${callingAe}|${keyOf(instance)}`;
    let group = known.get(kind);
    if (group === undefined) {
      const contexts = contextsFor(instance, options);
      if (contexts.length === 0) {
        refused.push({ instance, error: notProposable(instance) });
        continue;
      }
      group = open.find((each) => each.callingAe === callingAe && add(each, contexts));
      if (group === undefined) {
        group = { callingAe, contexts: new Map(contexts.map((each) => [keyOf(each), each])), instances: [] };
        open.push(group);
      }
      known.set(kind, group);
    }
    group.instances.push(instance);
  }
  return { groups: open.map((group) => ({ ...group, contexts: [...group.contexts.values()] })), refused };
}

/** The same proposal and more, as far as it goes: for an association that is to be of use for others later. */
export function widen(
  contexts: readonly ProposedContext[],
  more: Iterable<ProposedContext>,
): readonly ProposedContext[] {
  const all = new Map(contexts.map((each) => [keyOf(each), each]));
  for (const each of more) if (all.size < MAX_CONTEXTS) all.set(keyOf(each), each);
  return [...all.values()];
}

interface OpenGroup<T> {
  readonly callingAe: AeTitle;
  readonly contexts: Map<string, ProposedContext>;
  readonly instances: T[];
}

/** @returns false, and adds nothing, when they do not all fit */
function add<T>(group: OpenGroup<T>, contexts: readonly ProposedContext[]): boolean {
  const missing = contexts.filter((each) => !group.contexts.has(keyOf(each)));
  if (group.contexts.size + missing.length > MAX_CONTEXTS) return false;
  for (const each of missing) group.contexts.set(keyOf(each), each);
  return true;
}

/** Its own transfer syntax first. */
function contextsFor(instance: PlannedInstance, options: PlanOptions): ProposedContext[] {
  const { sopClassUid, transferSyntaxUid } = instance;
  const wanted = new Set([transferSyntaxUid, ...(options.converts ? FALLBACKS : [])]);
  return [...wanted]
    .filter((uid) => options.transferSyntaxes?.includes(uid) ?? true)
    .map((uid) => ({ sopClassUid, transferSyntaxUid: uid }));
}

function notProposable({ sopClassUid, transferSyntaxUid }: PlannedInstance): GatewayError {
  return new GatewayError(
    'CONTEXT_UNSUPPORTED',
    `by its config, the PACS is not offered ${transferSyntax(transferSyntaxUid).name}`,
    { facts: { sopClassUid, transferSyntaxUid } },
  );
}

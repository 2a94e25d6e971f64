/**
 * What a PACS or the network says → GatewayError, by number and never by text: A-ASSOCIATE-RJ (PS3.8 §9.3.4),
 * A-ABORT (§9.3.8), results of presentation contexts (§9.3.3.2), C-STORE status (PS3.4 B.2.3), errno. Pure.
 */
import { sopClassName } from '../dicom/sop-classes.js';
import { DUPLICATE_SOP_INSTANCE, describeStatus, formatStatus } from '../dicom/store-status.js';
import { transferSyntax } from '../dicom/transfer-syntaxes.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { classifyTlsError } from './dicom-tls-words.js';

/** The three numbers of an A-ASSOCIATE-RJ. */
export interface Rejection {
  readonly result: number;
  readonly source: number;
  readonly reason: number;
}

const TRANSIENT = 2;

/** source → reason → words (PS3.8 Table 9-21). */
const REJECTION_REASONS: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  1: {
    1: 'no reason given',
    2: 'application context name not supported',
    3: 'calling AE title not recognized',
    7: 'called AE title not recognized',
  },
  2: { 1: 'no reason given', 2: 'protocol version not supported' },
  3: { 1: 'temporary congestion', 2: 'local limit exceeded' },
};

/** @param pacs `AE@host:port`, for the message */
export function classifyRejection(rejection: Rejection, pacs: string): GatewayError {
  const { result, source, reason } = rejection;
  const words = REJECTION_REASONS[source]?.[reason] ?? `source ${source}, reason ${reason}`;
  const transient = result === TRANSIENT;
  return new GatewayError(
    transient ? 'PACS_BUSY' : 'PACS_REFUSED',
    `${pacs} rejects the association ${transient ? 'for now' : 'for good'}: ${words}`,
    { facts: { result, source, reason } },
  );
}

/** Reasons of the service provider; the service user gives none. */
const ABORT_REASONS: Readonly<Record<number, string>> = {
  0: 'reason not specified',
  1: 'unrecognized PDU',
  2: 'unexpected PDU',
  4: 'unrecognized PDU parameter',
  5: 'unexpected PDU parameter',
  6: 'invalid PDU parameter value',
};

export function classifyAbort(abort: { source: number; reason: number }, pacs: string): GatewayError {
  const { source, reason } = abort;
  const words = source === 2 ? (ABORT_REASONS[reason] ?? `reason ${reason}`) : 'by its application';
  return new GatewayError('PACS_UNREACHABLE', `${pacs} aborts the association: ${words}`, {
    facts: { source, reason },
  });
}

/** Words for a presentation context that was not accepted (PS3.8 Table 9-18). */
const CONTEXT_RESULTS: Readonly<Record<number, string>> = {
  1: 'user rejection',
  2: 'no reason given',
  3: 'SOP class not supported',
  4: 'transfer syntax not supported',
};

/** @param result of the context; undefined when the PACS did not answer for it, or accepted something else */
export function classifyContext(
  result: number | undefined,
  sopClassUid: string,
  transferSyntaxUid: string,
): GatewayError {
  const words = (result === undefined ? undefined : CONTEXT_RESULTS[result]) ?? 'not accepted';
  return new GatewayError(
    'CONTEXT_UNSUPPORTED',
    `PACS takes no ${sopClassName(sopClassUid)} in ${transferSyntax(transferSyntaxUid).name}: ${words}`,
    { facts: { sopClassUid, transferSyntaxUid, contextResult: result } },
  );
}

export type StoreResult =
  | { readonly result: 'stored' | 'warning' }
  | { readonly result: 'refused'; readonly error: GatewayError };

const isOutOfResources = (status: number) => (status & 0xff00) === 0xa700;

/**
 * What a final C-STORE status means for the instance. Duplicate SOP Instance counts as a warning when a C-STORE is
 * repeated: the PACS has it, which is all that is asked for. To the first one it says that the PACS did not take it.
 * @param mayBeThere an earlier C-STORE of ours may have been taken
 */
export function classifyStatus(status: number, mayBeThere: boolean): StoreResult {
  const { category, name } = describeStatus(status);
  const isDuplicate = status === DUPLICATE_SOP_INSTANCE;
  if (category === 'success') return { result: 'stored' };
  if (category === 'warning' || (isDuplicate && mayBeThere)) return { result: 'warning' };
  const code = isOutOfResources(status) ? 'PACS_BUSY' : 'PACS_REFUSED';
  const why = isDuplicate ? ': it has another object of this UID already, or refuses duplicates' : '';
  return {
    result: 'refused',
    error: new GatewayError(code, `PACS answers ${formatStatus(status)} ${name}${why}`, {
      facts: { status },
    }),
  };
}

/** A socket that does not connect, or breaks, or does not become a TLS connection. */
export function classifySocketError(error: unknown, pacs: string): GatewayError {
  if (isGatewayError(error)) return error;
  const refused = classifyTlsError(error, pacs);
  if (refused !== undefined) return refused;
  const errno =
    error instanceof Error && 'code' in error && typeof error.code === 'string'
      ? error.code
      : 'no error code';
  return new GatewayError('PACS_UNREACHABLE', `connection to ${pacs} fails: ${errno}`, {
    facts: { errno },
    cause: error,
  });
}

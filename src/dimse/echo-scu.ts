/** C-ECHO SCU (PS3.4 Annex A): asks a PACS whether it is there and knows us. One association, one request. */
import { VERIFICATION_SOP_CLASS } from '../dicom/sop-classes.js';
import { describeStatus, formatStatus } from '../dicom/store-status.js';
import { IMPLICIT_VR_LITTLE_ENDIAN } from '../dicom/transfer-syntaxes.js';
import type { AeTitle } from '../domain/ae-title.js';
import { GatewayError } from '../errors/gateway-error.js';
import { openScuAssociation } from './scu-association.js';
import type { CalledPacs, ScuConnectionOptions } from './scu-connection.js';

export interface EchoOptions {
  readonly pacs: CalledPacs;
  readonly callingAe: AeTitle;
  /** For each step: connect, associate, answer. Default: what the config says of the PACS, else 10 000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Makes the connection, where it is no plain TCP. */
  readonly connect?: ScuConnectionOptions['connect'];
}

const DEFAULT_TIMEOUT_MS = 10_000;
const CONTEXT = { sopClassUid: VERIFICATION_SOP_CLASS, transferSyntaxUid: IMPLICIT_VR_LITTLE_ENDIAN };

/**
 * @returns the time from C-ECHO-RQ to its answer, in milliseconds
 * @throws PACS_UNREACHABLE, PACS_UNTRUSTED, PACS_BUSY; PACS_REFUSED when it rejects us, knows no C-ECHO or answers with a failure;
 * CANCELLED
 */
export async function echo(options: EchoOptions): Promise<{ roundTripMs: number }> {
  const { pacs, callingAe, timeoutMs, signal, connect } = options;
  const stepMs = timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const association = await openScuAssociation({
    pacs,
    callingAe,
    contexts: [CONTEXT],
    // Nobody who asks whether a PACS is there waits as long as for the storing of an instance.
    responseTimeoutMs: stepMs,
    ...(timeoutMs === undefined && pacs.timeouts !== undefined
      ? {}
      : { connectTimeoutMs: stepMs, associationTimeoutMs: stepMs }),
    ...(signal === undefined ? {} : { signal }),
    ...(connect === undefined ? {} : { connect }),
  });
  try {
    const refusal = association.refusal(CONTEXT);
    if (refusal !== undefined) {
      throw new GatewayError('PACS_REFUSED', 'PACS does not take C-ECHO', { cause: refusal });
    }
    const begunMs = performance.now();
    const status = await association.echo();
    const roundTripMs = performance.now() - begunMs;
    const { category, name } = describeStatus(status);
    if (category === 'success') return { roundTripMs };
    throw new GatewayError('PACS_REFUSED', `PACS answers C-ECHO with ${formatStatus(status)} ${name}`, {
      facts: { status },
    });
  } finally {
    await association.release();
  }
}

/**
 * An association for storage commitment that we open: to a PACS, to ask it (we are the SCU), or to a modality, to report
 * (we are the SCP, which the role selection of PS3.7 §D.3.3.4 tells it).
 */
import { EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN } from '../dicom/transfer-syntaxes.js';
import type { AeTitle } from '../domain/ae-title.js';
import { STORAGE_COMMITMENT_SOP_CLASS } from './commitment-service.js';
import { openScuAssociation, type ScuAssociationOptions } from './scu-association.js';
import type { AssociationService, ServicePeer } from './service.js';

export type CommitmentAssociationOptions = Pick<
  ScuAssociationOptions,
  'pacs' | 'connect' | 'connectTimeoutMs' | 'associationTimeoutMs' | 'responseTimeoutMs'
> & {
  readonly callingAe: AeTitle;
  /** Takes what the other side says on this association. */
  readonly service?: AssociationService;
  readonly signal: AbortSignal;
};

/** Each transfer syntax is a context of its own, so that an answer is never ambiguous. */
const CONTEXTS = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN].map((transferSyntaxUid) => ({
  sopClassUid: STORAGE_COMMITMENT_SOP_CLASS,
  transferSyntaxUid,
}));

/**
 * Opens an association, does `work` on it, and releases it.
 * @param role ours
 * @throws CONTEXT_UNSUPPORTED when the other side takes no storage commitment; PACS_UNREACHABLE, PACS_UNTRUSTED,
 * PACS_BUSY, PACS_REFUSED, CANCELLED; what `work` throws
 */
export async function withCommitmentAssociation<T>(
  { service, ...options }: CommitmentAssociationOptions,
  role: 'scu' | 'scp',
  work: (peer: ServicePeer) => Promise<T>,
): Promise<T> {
  const association = await openScuAssociation({
    ...options,
    contexts: CONTEXTS,
    ...(service === undefined ? {} : { services: [service] }),
    ...(role === 'scp'
      ? { roles: [{ sopClassUid: STORAGE_COMMITMENT_SOP_CLASS, scu: false, scp: true }] }
      : {}),
  });
  try {
    if (association.acceptedSyntaxes(STORAGE_COMMITMENT_SOP_CLASS).length === 0) {
      const [context] = CONTEXTS;
      throw context && association.refusal(context);
    }
    return await work({ signal: options.signal, invoke: (request) => association.invoke(request) });
  } finally {
    await association.release();
  }
}

/**
 * What storage commitment speaks of (PS3.4 Annex J): instances, named by class and UID, and why one is not committed
 * to. The same words in both directions: a modality asks us, we ask a PACS.
 */

/** One instance, as a Referenced SOP Sequence names it. */
export interface InstanceReference {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
}

/** An instance that is not committed to, and its Failure Reason (0008,1197). */
export interface FailedReference extends InstanceReference {
  readonly reason: number;
}

/** Failure Reasons that we give (PS3.3 C.14.1.1). */
export const FAILURE_REASONS = {
  processingFailure: 0x0110,
  noSuchInstance: 0x0112,
  classInstanceConflict: 0x0119,
} as const;

const REASON_NAMES: Readonly<Record<number, string>> = {
  272: 'processing failure',
  274: 'no such instance',
  281: 'class and instance conflict',
  290: 'SOP class not supported',
  305: 'duplicate transaction UID',
  531: 'out of resources',
};

/** `0x0112 no such instance` */
function formatFailureReason(reason: number): string {
  const number = `0x${reason.toString(16).padStart(4, '0')}`;
  const name = REASON_NAMES[reason];
  return name === undefined ? number : `${number} ${name}`;
}

/** The Failure Reasons among these, each once, with how often: `0x0112 no such instance (3)`. */
export function describeFailures(failed: readonly FailedReference[]): string {
  const counts = new Map<number, number>();
  for (const { reason } of failed) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].map(([reason, count]) => `${formatFailureReason(reason)} (${count})`).join(', ');
}

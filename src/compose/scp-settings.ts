/** What the DICOM side of the config means to the SCP. */
import type { Settings } from '../config/settings.js';
import type { ScpOptions } from '../dimse/scp.js';
import type { Pacs } from '../domain/peer.js';

type ScpSettings = Omit<
  ScpOptions,
  'port' | 'tls' | 'handler' | 'log' | 'services' | 'admission' | 'refused'
>;

/** The longest time that a timer can wait, some 24 days; with more it would not wait at all. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** @param pacs those of them that we ask for commitment may call us to report on it */
export function scpSettings({ dimse }: Settings, pacs: Iterable<Pacs>): ScpSettings {
  return {
    host: dimse.host,
    policy: {
      calledAes: dimse.aeTitles,
      callers: dimse.callers,
      anyCaller: dimse.anyCaller,
      privateSopClasses: dimse.privateSopClasses,
      reportingPacs: [...pacs].filter(({ commitment }) => commitment !== 'off'),
    },
    users: { users: dimse.users, required: dimse.userRequired },
    idleTimeoutMs: timerMs(dimse.idleTimeoutSeconds),
    acceptTimeoutMs: timerMs(dimse.acceptTimeoutSeconds),
    maxAssociationMs: timerMs(dimse.maxAssociationSeconds),
    maxAssociations: dimse.maxAssociations,
    maxAssociationsPerCaller: dimse.maxAssociationsPerCaller,
    associationsPerMinutePerCaller: dimse.associationsPerMinutePerCaller,
    bytesPerSecondPerCaller: dimse.bytesPerSecondPerCaller,
    maxPduBytes: dimse.maxPduBytes,
    maxInstanceBytes: dimse.maxInstanceBytes,
    asyncOperations: dimse.asyncOperations,
  };
}

function timerMs(seconds: number): number {
  return Math.min(Math.ceil(seconds * 1000), MAX_TIMER_MS);
}

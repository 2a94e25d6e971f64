/**
 * Storage commitment in the gateway, both ways: what modalities ask of us goes to the desk of `outbound`, what a PACS
 * reports about what we asked of it to `inbound`. Both come as one SOP class on the same port.
 */
import type { Settings } from '../config/settings.js';
import { resolveHost } from '../dimse/association-judge.js';
import { isAmong } from '../dimse/association-policy.js';
import { reportCommitment } from '../dimse/commitment-messages.js';
import { withCommitmentAssociation } from '../dimse/commitment-scu.js';
import { createCommitmentService } from '../dimse/commitment-service.js';
import type { AssociationService } from '../dimse/service.js';
import type { AssociationInfo } from '../dimse/store-scp.js';
import { parseAeTitle } from '../domain/ae-title.js';
import type { CommitmentRequest } from '../domain/commitment-request.js';
import type { Delivery } from '../domain/delivery.js';
import { GatewayError } from '../errors/gateway-error.js';
import { acceptCommitmentReport } from '../inbound/commitment-report.js';
import type { InboundParts } from '../inbound/parts.js';
import { type CommitmentDesk, startCommitmentDesk } from '../outbound/commitment-desk.js';
import type { CommitmentParts } from '../outbound/commitment-parts.js';
import { openRecordStore } from '../spool/record-store.js';
import type { StudyStore } from '../spool/study-store.js';
import type { SiteContext } from './site.js';

export interface Commitment {
  readonly service: AssociationService;
  /** Absent where modalities get no commitment. */
  readonly desk?: CommitmentDesk;
  close(): Promise<void>;
}

export async function startCommitment(
  site: SiteContext,
  gateway: {
    readonly inbound: InboundParts;
    readonly studies: StudyStore;
    /** Newest first. */
    readonly allDeliveries: () => readonly Delivery[];
    readonly refusal: () => GatewayError | undefined;
    readonly changed: () => void;
  },
): Promise<Commitment> {
  const { dimse } = site.settings;
  const desk =
    dimse.commitment === 'off'
      ? undefined
      : await startCommitmentDesk({
          ...site,
          ...gateway,
          mode: dimse.commitment,
          requests: openRecordStore<CommitmentRequest>(site.layout.commitments),
          isReachable: (callingAe) => reportAddress(dimse, callingAe) !== undefined,
          report: (request, result, signal) => report(site, request, result, signal),
        });
  const service = createCommitmentService(
    {
      ...(desk === undefined ? {} : { asked: desk.asked, opened: desk.opened }),
      reported: (reported, { association }) =>
        acceptCommitmentReport(gateway.inbound, reported, (name) => mayReport(site, name, association)),
    },
    site.log,
  );
  return {
    service,
    ...(desk === undefined ? {} : { desk }),
    async close() {
      await desk?.close();
    },
  };
}

type Dimse = Settings['dimse'];

function reportAddress({ callers }: Dimse, callingAe: string) {
  return callers.find(({ aeTitle, reportTo }) => aeTitle === callingAe && reportTo !== undefined)?.reportTo;
}

const report: (site: SiteContext, ...of: Parameters<CommitmentParts['report']>) => Promise<number> = async (
  { settings, connectorTo },
  request,
  result,
  signal,
) => {
  const address = reportAddress(settings.dimse, request.callingAe);
  if (address === undefined)
    throw new GatewayError('PACS_UNREACHABLE', 'the config does not say where the modality listens');
  const connect = connectorTo(address);
  return withCommitmentAssociation(
    {
      pacs: { aeTitle: parseAeTitle(request.callingAe), host: address.host, port: address.port },
      callingAe: parseAeTitle(request.calledAe),
      ...(connect === undefined ? {} : { connect }),
      signal,
    },
    'scp',
    (peer) => reportCommitment(peer, request.transactionUid, result),
  );
};

/**
 * A PACS reports by its AE title, from its own host; from others if `dimse.callers` lists them for that title, as for a
 * PACS of several machines. One that is spoken to by TLS reports by TLS.
 */
async function mayReport(
  { pacs, settings, log }: SiteContext,
  pacsName: string,
  association: AssociationInfo | undefined,
): Promise<boolean> {
  const asked = pacs.get(pacsName);
  if (asked === undefined || association === undefined || association.callingAe !== asked.aeTitle)
    return false;
  if (asked.tls && association.tls === undefined) {
    log.warn(
      { event: 'commitment.without_tls', pacs: pacsName, remoteAddress: association.remoteAddress },
      `${pacsName} has tls in the config, and reports without: let it report to dimse.tls.port`,
    );
    return false;
  }
  const listed = settings.dimse.callers.filter(({ aeTitle }) => aeTitle === asked.aeTitle);
  if (listed.some(({ hosts }) => hosts === undefined)) return true;
  const hosts = [asked.host, ...listed.flatMap((caller) => caller.hosts ?? [])];
  if (await isAmong(hosts, association.remoteAddress, resolveHost)) return true;
  log.warn(
    { event: 'commitment.foreign_host', pacs: pacsName, remoteAddress: association.remoteAddress },
    `reports from another host than ${asked.host}: if it is the PACS, list it in dimse.callers with that host`,
  );
  return false;
}

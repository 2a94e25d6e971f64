/**
 * Storage commitment for tests: a site of site-parts.ts that listens as its gateway would, and modalities that ask it,
 * on an association of theirs or by a port of their own.
 */
import { startCommitment } from '../../src/compose/commitment.js';
import { createRecordIndex } from '../../src/compose/record-index.js';
import type { SiteContext } from '../../src/compose/site.js';
import { requestCommitment } from '../../src/dimse/commitment-messages.js';
import {
  type CommitmentHandlers,
  type CommitmentReported,
  createCommitmentService,
  STORAGE_COMMITMENT_SOP_CLASS,
} from '../../src/dimse/commitment-service.js';
import { type Scp, startScp } from '../../src/dimse/scp.js';
import { openScuAssociation, type ScuAssociation } from '../../src/dimse/scu-association.js';
import type { OwnRequest } from '../../src/dimse/service.js';
import { parseAeTitle } from '../../src/domain/ae-title.js';
import type { InstanceReference } from '../../src/domain/commitment.js';
import { type Delivery, isEnded } from '../../src/domain/delivery.js';
import type { GatewayError } from '../../src/errors/gateway-error.js';
import type { Log } from '../../src/observe/log.js';
import { createFeeding } from '../../src/outbound/feeding.js';
import { createIntake } from '../../src/outbound/intake.js';
import type { TestSite } from './site-parts.js';

export const SILENT: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => SILENT,
};

export interface TestGateway {
  readonly port: number;
  /** Looks through the requests, as it does by itself now and then. */
  look(): Promise<void>;
  close(): Promise<void>;
}

/** @param dimse settings that differ from those of the site */
export async function startGateway(
  site: TestSite,
  dimse: Partial<SiteContext['settings']['dimse']> = {},
  pacs: SiteContext['pacs'] = site.context.pacs,
  refusal?: GatewayError,
): Promise<TestGateway> {
  const settings = { ...site.context.settings, dimse: { ...site.context.settings.dimse, ...dimse } };
  const context = { ...site.context, settings, pacs };
  const deliveries = createRecordIndex<Delivery>(
    () => context.deliveries,
    ({ createdAtMs }) => createdAtMs,
    isEnded,
  );
  await deliveries.load();
  const { studies } = site.outbound;
  const commitment = await startCommitment(context, {
    inbound: { ...site.inbound, pacs },
    studies,
    allDeliveries: deliveries.all,
    refusal: () => refusal,
    changed: () => undefined,
  });
  const handler = createIntake({
    studies,
    feeding: createFeeding(),
    clock: context.clock,
    log: context.log,
    arrived: () => undefined,
  });
  const scp = await listen('DRAWBRIDGE', [commitment.service], handler);
  return {
    port: scp.port,
    async look() {
      await deliveries.refresh();
      await commitment.desk?.look();
    },
    async close() {
      await scp.close(0);
      await commitment.close();
    },
  };
}

/** A listener that takes every caller. @param port 0 for any */
export function listen(
  aeTitle: string,
  services: NonNullable<Parameters<typeof startScp>[0]['services']>,
  handler: Parameters<typeof startScp>[0]['handler'] = {
    begin: () => Promise.reject(new Error('stores nothing')),
  },
  port = 0,
): Promise<Scp> {
  return startScp({
    host: '127.0.0.1',
    port,
    policy: { calledAes: [aeTitle], callers: [], anyCaller: true, privateSopClasses: [] },
    handler,
    services,
    log: SILENT,
    idleTimeoutMs: 60_000,
    acceptTimeoutMs: 30_000,
    maxAssociations: 10,
    maxAssociationsPerCaller: 10,
    maxPduBytes: 16 * 1024,
    maxInstanceBytes: Number.MAX_SAFE_INTEGER,
  });
}

export interface Modality {
  readonly association: ScuAssociation;
  /** What it was told so far. */
  readonly reports: readonly CommitmentReported[];
  /** Asks, and gives the status of the answer. */
  ask(transactionUid: string, references: readonly InstanceReference[]): Promise<number>;
  /** Sends any request. */
  invoke(request: Partial<OwnRequest>): Promise<number | undefined>;
}

/** Opens an association as `CT1`. */
export async function openModality(port: number, callingAe = 'CT1'): Promise<Modality> {
  const reports: CommitmentReported[] = [];
  const association = await openScuAssociation({
    pacs: { aeTitle: parseAeTitle('DRAWBRIDGE'), host: '127.0.0.1', port },
    callingAe: parseAeTitle(callingAe),
    contexts: [{ sopClassUid: STORAGE_COMMITMENT_SOP_CLASS, transferSyntaxUid: '1.2.840.10008.1.2.1' }],
    services: [reportsInto(reports)],
  });
  const { signal } = new AbortController();
  const invoke = (request: OwnRequest) => association.invoke(request);
  return {
    association,
    reports,
    ask: (transactionUid, references) => requestCommitment({ signal, invoke }, transactionUid, references),
    invoke: async (request) =>
      (
        await invoke({
          sopClassUid: STORAGE_COMMITMENT_SOP_CLASS,
          sopInstanceUid: '1.2.840.10008.1.20.1.1',
          commandField: 0x0130,
          typeId: 1,
          dataSet: () => Buffer.alloc(0),
          ...request,
        })
      ).status,
  };
}

/** Where a modality listens for reports. */
export function listenForReports(reports: CommitmentReported[], port = 0): Promise<Scp> {
  return listen('CT1', [reportsInto(reports)], undefined, port);
}

function reportsInto(reports: CommitmentReported[]) {
  const reported: CommitmentHandlers['reported'] = async (report) => {
    reports.push(report);
    return { status: 0 };
  };
  return createCommitmentService({ reported }, SILENT);
}

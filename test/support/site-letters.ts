/** Receipts in envelopes, honest and forged, between the sites of site-parts.ts. */

import { readdir } from 'node:fs/promises';
import type { SiteContext } from '../../src/compose/site.js';
import { formatTimestamp } from '../../src/domain/clock.js';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import type { Peer } from '../../src/domain/peer.js';
import type { Reception } from '../../src/domain/reception.js';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { RECEIPT_DOCUMENTS } from '../../src/inbound/confirm.js';
import { mailReceipt } from '../../src/inbound/mail-receipt.js';
import { readFrozenList } from '../../src/outbound/frozen-content.js';
import type { Outbox } from '../../src/transport/transport.js';
import { type Receipt, signReceipt } from '../../src/trust/receipt.js';
import type { TestSite } from './site-parts.js';

export async function receptionsOf({ context: { receptions } }: TestSite): Promise<readonly Reception[]> {
  const records = await Promise.all((await receptions.ids()).map(receptions.read));
  return records.filter((record) => record !== undefined);
}

/** The envelopes that came to a site and held a receipt. */
export async function lettersAt(site: TestSite): Promise<readonly Reception[]> {
  return (await receptionsOf(site)).filter(({ receiptFor }) => receiptFor !== undefined);
}

export function peerOf({ context: { peers } }: TestSite, id: string): Peer {
  const peer = peers.get(id);
  if (peer === undefined) throw new Error(`there is no peer ${id}`);
  return peer;
}

/** The lines of a site whose puts are done otherwise. */
export function withPut(
  { context: { lines } }: TestSite,
  put: (real: Outbox) => Outbox['put'],
): Partial<SiteContext> {
  const outboxTo = (peerId: string) => {
    const real = lines.outboxTo(peerId);
    return { ...real, put: put(real) };
  };
  return { lines: { ...lines, outboxTo } };
}

/** What site-b would say of a delivery when its PACS has all of it. */
export async function honestReceipt(sender: TestSite, id: EnvelopeId): Promise<Receipt> {
  const delivery = await sender.context.deliveries.read(id);
  const frozen = await readFrozenList(sender.outbound, id);
  return {
    version: 1,
    envelope_id: id,
    manifest_sha256: delivery?.sealed?.manifestSha256 ?? '',
    receiver: { id: 'site-b', name: 'Hospital site-b' },
    outcome: 'stored',
    issued_at: formatTimestamp(sender.time.ms),
    audit: [],
    instances: frozen.map(({ sopInstanceUid, sha256 }) => storedInstance(sopInstanceUid, sha256)),
  };
}

export function storedInstance(uid: string, sha256 = '0'.repeat(64)): Receipt['instances'][number] {
  return { sop_instance_uid: uid, sha256, status: { main: '0x0000' } };
}

export function signedBy({ context: { keys } }: TestSite, receipt: Receipt): Buffer {
  return signReceipt(receipt, keys.signing.privateKey, keys.signing.publicKey);
}

/** Mails to site-a a receipt that `site` signed. @param id of the envelope that the letter says it is for */
export function mailTo(
  site: TestSite,
  receipt: Receipt,
  id = parseEnvelopeId(receipt.envelope_id),
): Promise<void> {
  const { signal } = new AbortController();
  return mailReceipt(site.inbound, peerOf(site, 'site-a'), { id, receipt: signedBy(site, receipt) }, signal);
}

/** The names of what waits at the exchange for a site. */
export function lyingFor(site: TestSite): Promise<string[]> {
  return readdir(site.inboxFolder);
}

/** The envelopes that a site has sealed and not yet sent. */
export function sealedAt({ context }: TestSite): Promise<string[]> {
  return readdir(context.layout.sealed);
}

/** The receipt that a site has signed for what it stored, as it lies there. */
export function receiptAt({ context }: TestSite, id: EnvelopeId): Promise<Buffer | undefined> {
  return context.receptions.readDocument(id, RECEIPT_DOCUMENTS.stored);
}

/** For `withPut`: nothing arrives. */
export const lineDown = () => () => Promise.reject(new GatewayError('PEER_UNREACHABLE', 'the line is down'));

/** Whether nothing lies at the exchange for these sites, and none has a job to do. */
export async function areIdle(...sites: readonly TestSite[]): Promise<boolean> {
  const lying = await Promise.all(sites.map(lyingFor));
  return lying.flat().length === 0 && sites.every(({ jobs }) => jobs.length === 0);
}

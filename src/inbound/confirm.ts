/**
 * confirm: tells the sender how it ended, by a signed receipt. The receipt is written before it is sent, and is the
 * same text at every attempt; a peer that cannot be called fetches it. Commit point: the record says `confirmed`.
 */
import type { KeyObject } from 'node:crypto';
import { formatTimestamp } from '../domain/clock.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceReception, type Reception } from '../domain/reception.js';
import { GatewayError } from '../errors/gateway-error.js';
import { createFileDurably } from '../spool/atomic.js';
import { type Receipt, type ReceiptInstance, signReceipt } from '../trust/receipt.js';
import { takeLateReports } from './commitment-late.js';
import { custodyTrail } from './custody-trail.js';
import { noteDelivered, readOutcomes } from './deliver.js';
import { discardLetter, mailReceipt, wantsNoAnswer } from './mail-receipt.js';
import { enqueueNext, type InboundParts } from './parts.js';
import { reminders } from './remind.js';
import { readOpenedInstances } from './verify.js';

/** A receipt for each way it can end: a refusal may be followed by success, when an operator has mended the cause. */
export const RECEIPT_DOCUMENTS = { stored: 'receipt.jws', refused: 'refusal.jws' } as const;

type Outcome = Receipt['outcome'];

/** @throws PEER_UNREACHABLE, PEER_BUSY, PEER_REFUSED */
export async function confirm(parts: InboundParts, id: EnvelopeId, signal: AbortSignal): Promise<void> {
  if ((await parts.receptions.read(id)) === undefined) return;
  const reception = await noteDelivered(parts, id);
  const outcome = outcomeDue(reception);
  if (outcome === undefined) return;
  const peer = parts.peers.get(reception.senderId);
  // To a sender that we do not know, nothing is owed, and nothing is told.
  const mail =
    peer === undefined || (await isUnanswered(parts, reception))
      ? undefined
      : {
          id,
          receipt: await receiptOf(parts, reception, outcome),
          unopened: reception.progress === 'received',
          reminders: reminders(reception),
        };
  if (peer !== undefined && mail !== undefined) {
    const desk = parts.lines.receiptDeskOf(peer.id);
    if (desk !== undefined) await desk.sendReceipt(id, mail.receipt, signal);
    else if (peer.via !== undefined) await mailReceipt(parts, peer, mail, signal);
  }
  const confirmed = await parts.receptions.update(id, (record) => {
    // What it was about may have given way to another envelope meanwhile.
    if (outcomeDue(record) !== outcome || record.manifestSha256 !== reception.manifestSha256) return record;
    const event =
      outcome === 'stored' ? ({ type: 'confirmed' } as const) : ({ type: 'refusal-confirmed' } as const);
    return advanceReception(record, event, parts.clock.now());
  });
  if (mail !== undefined) await discardLetter(parts, mail);
  parts.log.info({ event: 'receipt.issued', reception: id, outcome });
  // What came while it was being made: a retry that was, and what the PACS reported.
  await enqueueNext(parts, confirmed);
  for (const name of Object.keys(confirmed.pacs)) await takeLateReports(parts, id, name);
}

/**
 * The receipt for an envelope that this peer sent, once there is one; made here if `confirm` has not come to it.
 */
export async function receiptFor(
  parts: InboundParts,
  peerId: string,
  id: EnvelopeId,
): Promise<Buffer | undefined> {
  const reception = await parts.receptions.read(id);
  if (reception === undefined || (reception.fromPeerId !== peerId && reception.senderId !== peerId))
    return undefined;
  if (reception.progress === 'delivered' || reception.progress === 'confirmed') {
    return receiptOf(parts, reception, 'stored');
  }
  return outcomeDue(reception) === 'refused' || reception.refusalConfirmed === true
    ? receiptOf(parts, reception, 'refused')
    : undefined;
}

/** Nobody could open it, and it says that it wants no answer: the refusal of an envelope of ours. */
async function isUnanswered(parts: InboundParts, { id, progress }: Reception): Promise<boolean> {
  if (progress !== 'received') return false;
  const manifest = await parts.receptions.readDocument(id, 'manifest.json');
  return manifest !== undefined && wantsNoAnswer(manifest);
}

function outcomeDue(reception: Reception): Outcome | undefined {
  if (reception.progress === 'delivered') return 'stored';
  if (reception.refusalConfirmed === true || reception.progress === 'confirmed') return undefined;
  if (reception.quarantined !== undefined) return 'refused';
  const states = Object.values(reception.pacs).map(({ state }) => state);
  // Where all have stored it, the record is about to say `delivered`.
  const isRefused = states.includes('refused') && !states.includes('pending');
  return isRefused && reception.progress === 'verified' ? 'refused' : undefined;
}

async function receiptOf(parts: InboundParts, reception: Reception, outcome: Outcome): Promise<Buffer> {
  const name = RECEIPT_DOCUMENTS[outcome];
  const known = await parts.receptions.readDocument(reception.id, name);
  if (known !== undefined) return known;
  const { signing, announcements } = parts.keys;
  const statement = await state(parts, reception, outcome, signing.privateKey);
  const jws = signReceipt(statement, signing.privateKey, signing.publicKey, announcements);
  // Of two that are made side by side one is the receipt.
  if (await createFileDurably(parts.receptions.documentPath(reception.id, name), jws)) return jws;
  return receiptOf(parts, reception, outcome);
}

async function state(
  parts: InboundParts,
  reception: Reception,
  outcome: Outcome,
  signingKey: KeyObject,
): Promise<Receipt> {
  const nowMs = parts.clock.now();
  const { id, name } = parts.site;
  const deliveredAtMs = reception.steps.findLast((each) => each.event === 'delivered')?.atMs ?? nowMs;
  const commitment = commitmentsOf(reception);
  const own = [
    { event: 'received', atMs: reception.receivedAtMs },
    ...(outcome === 'stored' ? [{ event: 'stored', atMs: deliveredAtMs }] : []),
  ];
  return {
    version: 1,
    envelope_id: reception.id,
    manifest_sha256: reception.manifestSha256,
    receiver: { id, name },
    outcome,
    issued_at: formatTimestamp(nowMs),
    ...(outcome === 'stored' ? {} : { reason: reasonOf(reception) }),
    ...(commitment === undefined ? {} : { commitment }),
    audit: await custodyTrail(parts, reception, own, signingKey),
    instances: reception.progress === 'received' ? [] : await instancesOf(parts, reception),
  };
}

/** What each PACS said when it was asked to commit to what it stored; nothing where none was asked. */
function commitmentsOf({ pacs }: Reception): NonNullable<Receipt['commitment']> | undefined {
  const told = Object.entries(pacs).flatMap(([name, { commitment }]) =>
    commitment === undefined
      ? []
      : [[name, { state: commitment.state, at: formatTimestamp(commitment.atMs) }] as const],
  );
  return told.length === 0 ? undefined : Object.fromEntries(told);
}

function reasonOf(reception: Reception): { code: string; message: string } {
  // A signature that failed is told without detail: it would only teach a forger.
  if (reception.quarantined !== undefined) {
    return { code: reception.quarantined.code, message: reception.quarantined.message.slice(0, 500) };
  }
  const outcomes = Object.values(reception.pacs);
  const refused = outcomes.reduce((sum, outcome) => sum + outcome.refusedCount, 0);
  const isUncommitted = outcomes.some(({ lastError }) => lastError?.code === 'COMMITMENT_FAILED');
  return {
    code: isUncommitted ? 'COMMITMENT_FAILED' : 'PACS_REFUSED',
    message: `the PACS of the receiving site ${isUncommitted ? 'does not commit to' : 'refused'} ${refused} of ${reception.instanceCount ?? 0} instances`,
  };
}

/** Instances that every PACS has; with the hash of what was sealed, and where it was converted, of what went there. */
async function instancesOf(parts: InboundParts, reception: Reception): Promise<ReceiptInstance[]> {
  if (Object.keys(reception.pacs).length === 0) return [];
  const byPacs = await Promise.all(
    Object.keys(reception.pacs).map(
      async (name) => [name, await readOutcomes(parts, reception.id, name)] as const,
    ),
  );
  const rows: ReceiptInstance[] = [];
  for (const { sopInstanceUid } of await readOpenedInstances(parts, reception.id)) {
    const status: Record<string, string> = {};
    const hashes = new Set<string>();
    const converted: NonNullable<ReceiptInstance['converted']> = {};
    for (const [name, outcomes] of byPacs) {
      const outcome = outcomes.get(sopInstanceUid);
      if (outcome?.status === undefined || outcome.result === 'refused') continue;
      status[name] = outcome.status;
      if (outcome.sha256 !== undefined) hashes.add(outcome.sha256);
      const { to, sha256: sent } = outcome.converted ?? {};
      if (to !== undefined && sent !== undefined) converted[name] = { transfer_syntax: to, sha256: sent };
    }
    const [sha256, ...others] = hashes;
    if (sha256 === undefined) continue;
    if (others.length > 0)
      throw new GatewayError('FAULT', 'two PACS were sent different bytes of one instance');
    const isConverted = Object.keys(converted).length > 0;
    rows.push({ sop_instance_uid: sopInstanceUid, sha256, status, ...(isConverted ? { converted } : {}) });
  }
  return rows;
}

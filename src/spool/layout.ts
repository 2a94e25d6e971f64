/**
 * Every folder and file name of the data folder, in one place. Only parsed ids and UIDs become path segments, and no
 * name shows whose study it is.
 *
 *     incoming/<random>.part          instances on their way in; wiped at start
 *     ready/<random>.part             the same, opened ahead
 *     reception-log/<n>.log           instances that are committed, and get their files when there is time
 *     studies/<key>/                  study.json, journal.jsonl, freeze-<n>.json, <SOPInstanceUID>.dcm, extensions.json
 *     studies/<key>/attachments/      <SHA-256>.bin, and <hash of its name>.json for each name
 *     conflicts/<key>/                instances that came again with other bytes
 *     deliveries/<id>/                instances.json, <revision>.json, receipt.jws
 *     receptions/<id>/                <revision>.json, instances.json, outcomes-<pacs>.jsonl, receipt.jws
 *     drafts/<id>.json                what pack hands to seal
 *     sealed/<id>.JMIX/               ready to ship
 *     envelopes/<id>.json             the deliveries of an envelope that has another id than they
 *     inbox/<id>.JMIX/                arrived, durable, not yet opened
 *     staging/<id>/                   decrypted, nothing of it trusted before `verify`
 *     opened/<id>/                    verified, waiting for the PACS
 *     quarantine/<id>.JMIX/           failed a check; <id>-<sha16>.JMIX: another one came later under its id
 *     fetching/<id>.JMIX.tar          on its way from an exchange; kept, so that it can go on
 *     uploads/                        on their way in pieces; kept for the same reason
 *     held/<id>.JMIX/                 of a hub: waits for its receivers
 *     parcels/<id>/                   of a hub: <revision>.json
 *     commitments/<id>/               what a modality asked: <revision>.json, references.json, failed.json
 *     transactions/<id>/              what we asked of a PACS: <revision>.json, references.json, failed.json
 *     exchanges/<name>.json           how the last look into an inbox went
 *     scratch/                        half-written folders and archives; wiped at start
 *     trust/peers/<id>.<revision>.json  what was learned of a peer: by pairing, announcements, directory
 *     trust/pairings/<hash>.json        letters of pairings that were written, or read
 *     keys/  redis/
 */
import { hash } from 'node:crypto';
import { join } from 'node:path';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Uid } from '../domain/uid.js';

export interface Layout {
  readonly dataDir: string;
  readonly incoming: string;
  readonly ready: string;
  readonly receptionLog: string;
  readonly studies: string;
  readonly conflicts: string;
  readonly deliveries: string;
  readonly receptions: string;
  readonly drafts: string;
  readonly sealed: string;
  readonly envelopes: string;
  readonly inbox: string;
  readonly staging: string;
  readonly opened: string;
  readonly quarantine: string;
  readonly fetching: string;
  readonly uploads: string;
  readonly held: string;
  readonly parcels: string;
  readonly commitments: string;
  readonly transactions: string;
  readonly exchanges: string;
  readonly scratch: string;
  readonly keys: string;
  readonly trust: string;
  /** Tells this data folder from every other one. */
  readonly bridgeId: string;
  study(key: string): string;
  instance(key: string, uid: Uid): string;
  attachmentsOf(key: string): string;
  /** @param sha256 of its bytes */
  attachment(key: string, sha256: string): string;
  conflictsOf(key: string): string;
  draft(id: EnvelopeId): string;
  sealedEnvelope(id: EnvelopeId): string;
  envelopeOwners(id: EnvelopeId): string;
  inboxEnvelope(id: EnvelopeId): string;
  stagingOf(id: EnvelopeId): string;
  openedOf(id: EnvelopeId): string;
  quarantinedEnvelope(id: EnvelopeId): string;
  fetchedArchive(id: EnvelopeId): string;
  heldEnvelope(id: EnvelopeId): string;
  exchangeState(name: string): string;
}

export function createLayout(dataDir: string): Layout {
  const at = (...parts: string[]) => join(dataDir, ...parts);
  return {
    dataDir,
    incoming: at('incoming'),
    ready: at('ready'),
    receptionLog: at('reception-log'),
    studies: at('studies'),
    conflicts: at('conflicts'),
    deliveries: at('deliveries'),
    receptions: at('receptions'),
    drafts: at('drafts'),
    sealed: at('sealed'),
    envelopes: at('envelopes'),
    inbox: at('inbox'),
    staging: at('staging'),
    opened: at('opened'),
    quarantine: at('quarantine'),
    fetching: at('fetching'),
    uploads: at('uploads'),
    held: at('held'),
    parcels: at('parcels'),
    commitments: at('commitments'),
    transactions: at('transactions'),
    exchanges: at('exchanges'),
    scratch: at('scratch'),
    keys: at('keys'),
    trust: at('trust'),
    bridgeId: at('bridge-id'),
    study: (key) => at('studies', key),
    instance: (key, uid) => at('studies', key, `${uid}.dcm`),
    attachmentsOf: (key) => at('studies', key, 'attachments'),
    attachment: (key, sha256) => at('studies', key, 'attachments', `${sha256}.bin`),
    conflictsOf: (key) => at('conflicts', key),
    draft: (id) => at('drafts', `${id}.json`),
    sealedEnvelope: (id) => at('sealed', `${id}.JMIX`),
    envelopeOwners: (id) => at('envelopes', `${id}.json`),
    inboxEnvelope: (id) => at('inbox', `${id}.JMIX`),
    stagingOf: (id) => at('staging', id),
    openedOf: (id) => at('opened', id),
    quarantinedEnvelope: (id) => at('quarantine', `${id}.JMIX`),
    fetchedArchive: (id) => at('fetching', `${id}.JMIX.tar`),
    heldEnvelope: (id) => at('held', `${id}.JMIX`),
    exchangeState: (name) => at('exchanges', `${name}.json`),
  };
}

/** The folders that must exist before anything else happens. */
export function spoolFolders(layout: Layout): readonly string[] {
  return [
    layout.incoming,
    layout.ready,
    layout.receptionLog,
    layout.studies,
    layout.conflicts,
    layout.deliveries,
    layout.receptions,
    layout.drafts,
    layout.sealed,
    layout.envelopes,
    layout.inbox,
    layout.staging,
    layout.opened,
    layout.quarantine,
    layout.fetching,
    layout.uploads,
    layout.held,
    layout.parcels,
    layout.commitments,
    layout.transactions,
    layout.exchanges,
    layout.scratch,
    layout.keys,
    layout.trust,
    join(layout.trust, 'peers'),
  ];
}

/** The name of a study's folder: 32 hex digits of a hash, since a Study Instance UID points to a person. */
export function studyKey(studyInstanceUid: Uid): string {
  return hash('sha256', studyInstanceUid).slice(0, 32);
}

const STUDY_KEY_PATTERN = /^[0-9a-f]{32}$/;

export function isStudyKey(text: string): boolean {
  return STUDY_KEY_PATTERN.test(text);
}

/**
 * Every folder and file name of the data folder, in one place. Only parsed ids and UIDs become path segments, and no
 * name shows whose study it is.
 *
 *     incoming/<random>.part          instances on their way in; wiped at start
 *     studies/<key>/                  study.json, journal.jsonl, freeze-<n>.json, <SOPInstanceUID>.dcm
 *     conflicts/<key>/                instances that came again with other bytes
 *     deliveries/<id>/                instances.json, <revision>.json, receipt.jws
 *     receptions/<id>/                <revision>.json, instances.json, outcomes-<pacs>.jsonl, receipt.jws
 *     drafts/<id>.json                what pack hands to seal
 *     sealed/<id>.JMIX/               ready to ship
 *     inbox/<id>.JMIX/                arrived, durable, not yet opened
 *     staging/<id>/                   decrypted, nothing of it trusted before `verify`
 *     opened/<id>/                    verified, waiting for the PACS
 *     quarantine/<id>.JMIX/           failed a check
 *     scratch/                        half-written folders and archives; wiped at start
 *     keys/  redis/
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Uid } from '../domain/uid.js';

export interface Layout {
  readonly dataDir: string;
  readonly incoming: string;
  readonly studies: string;
  readonly conflicts: string;
  readonly deliveries: string;
  readonly receptions: string;
  readonly drafts: string;
  readonly sealed: string;
  readonly inbox: string;
  readonly staging: string;
  readonly opened: string;
  readonly quarantine: string;
  readonly scratch: string;
  readonly keys: string;
  study(key: string): string;
  instance(key: string, uid: Uid): string;
  conflictsOf(key: string): string;
  draft(id: EnvelopeId): string;
  sealedEnvelope(id: EnvelopeId): string;
  inboxEnvelope(id: EnvelopeId): string;
  stagingOf(id: EnvelopeId): string;
  openedOf(id: EnvelopeId): string;
  quarantinedEnvelope(id: EnvelopeId): string;
}

export function createLayout(dataDir: string): Layout {
  const at = (...parts: string[]) => join(dataDir, ...parts);
  return {
    dataDir,
    incoming: at('incoming'),
    studies: at('studies'),
    conflicts: at('conflicts'),
    deliveries: at('deliveries'),
    receptions: at('receptions'),
    drafts: at('drafts'),
    sealed: at('sealed'),
    inbox: at('inbox'),
    staging: at('staging'),
    opened: at('opened'),
    quarantine: at('quarantine'),
    scratch: at('scratch'),
    keys: at('keys'),
    study: (key) => at('studies', key),
    instance: (key, uid) => at('studies', key, `${uid}.dcm`),
    conflictsOf: (key) => at('conflicts', key),
    draft: (id) => at('drafts', `${id}.json`),
    sealedEnvelope: (id) => at('sealed', `${id}.JMIX`),
    inboxEnvelope: (id) => at('inbox', `${id}.JMIX`),
    stagingOf: (id) => at('staging', id),
    openedOf: (id) => at('opened', id),
    quarantinedEnvelope: (id) => at('quarantine', `${id}.JMIX`),
  };
}

/** The folders that must exist before anything else happens. */
export function spoolFolders(layout: Layout): readonly string[] {
  return [
    layout.incoming,
    layout.studies,
    layout.conflicts,
    layout.deliveries,
    layout.receptions,
    layout.drafts,
    layout.sealed,
    layout.inbox,
    layout.staging,
    layout.opened,
    layout.quarantine,
    layout.scratch,
    layout.keys,
  ];
}

/** The name of a study's folder: 32 hex digits of a hash, since a Study Instance UID points to a person. */
export function studyKey(studyInstanceUid: Uid): string {
  return createHash('sha256').update(studyInstanceUid).digest('hex').slice(0, 32);
}

const STUDY_KEY_PATTERN = /^[0-9a-f]{32}$/;

export function isStudyKey(text: string): boolean {
  return STUDY_KEY_PATTERN.test(text);
}

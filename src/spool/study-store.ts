/**
 * The studies that came from modalities, with what people attach to them. An instance is committed by linking its staged file into the study's folder;
 * only then may its sender hear 0x0000. The journal beside the files saves reading them again after a restart: what
 * it lacks is derived from the files themselves.
 *
 * One process writes studies (the gateway); workers read them.
 */
import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Attachment } from '../domain/attachment.js';
import type { Extensions } from '../domain/extensions.js';
import type { ReceivedInstance } from '../domain/instance.js';
import { type Freeze, isGathering, type Study } from '../domain/study.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';
import {
  classifyDiskError,
  createFileDurably,
  linkDurably,
  makeFolder,
  syncFolder,
  writeFileDurably,
} from './atomic.js';
import { placeAttachment } from './attachments.js';
import { isStudyKey, type Layout, studyKey } from './layout.js';
import type { Unfiled } from './logged-file.js';
import { scribeIsIdle } from './scribe.js';
import type { StagedFile } from './staged-file.js';
import { openStaging } from './staging.js';
import { StoredStudy, type StudyLimits } from './stored-study.js';
import {
  countConflicts,
  extensionsDocument,
  loadStudy,
  studyDocument,
  studyKeys,
  type Tell,
  writeFreeze,
} from './study-folder.js';
import { createStudySlots } from './study-slots.js';
import { createStudyWriters } from './study-writers.js';

const EXTENSIONS_SLOT = 'extensions';
/** The SHA-256 of an instance whose file is not made yet. */
const UNKNOWN = '';
const UNLIMITED: StudyLimits = {
  maxBytes: Number.POSITIVE_INFINITY,
  maxInstances: Number.POSITIVE_INFINITY,
};

/** What the store hashes itself, from what was staged. */
export type UnhashedInstance = Omit<ReceivedInstance, 'sha256'>;

export type CommitOutcome = 'stored' | 'duplicate' | 'conflict';

export interface StudyStore {
  /**
   * Opens a file for an arriving instance, or an attachment; `part10Header` stands before the data set.
   * @throws SPOOL_WRITE_FAILED
   */
  stage(part10Header: Buffer): Promise<StagedFile>;
  /** The same for instances that come one after the other: they become durable in the reception log first. */
  stageNext(part10Header: Buffer): Promise<StagedFile>;
  /**
   * Gives a finished staged file its place. `stored`: durable now. `duplicate`: the same bytes are there already.
   * `conflict`: other bytes are there; the newcomer is kept aside. The staged file is gone in every case.
   * @throws SPOOL_WRITE_FAILED; STUDY_TOO_LARGE when it is new, and the study may not grow so far
   */
  commit(staged: StagedFile, studyInstanceUid: Uid, instance: UnhashedInstance): Promise<CommitOutcome>;
  /**
   * The same for an attachment. `conflict`: the name stands for other bytes; nothing is kept.
   * @throws STUDY_NOT_FOUND, SPOOL_WRITE_FAILED
   */
  attach(staged: StagedFile, key: string, attachment: Attachment): Promise<CommitOutcome>;
  /** Says something of one study alone, instead of what was said before. @throws STUDY_NOT_FOUND, SPOOL_WRITE_FAILED */
  describe(key: string, extensions: Extensions): Promise<void>;
  /** All that was committed before can be read as files, and its SHA-256 is known. @throws SPOOL_WRITE_FAILED */
  settled(): Promise<void>;
  /** Instances that were committed, and can be read in the reception log alone. */
  unfiled(key: string): Unfiled;
  /** Studies with instances or attachments that no freeze has taken. */
  gathering(): readonly Study[];
  /** A study from memory or disk. */
  find(key: string): Promise<Study | undefined>;
  /** Writes the freeze, durably. @throws STATE_INVALID when that number is taken */
  freeze(key: string, freeze: Freeze): Promise<void>;
  keys(): Promise<readonly string[]>;
  /** Lets a study go from memory when nothing of it waits; it is read again on demand. */
  release(key: string): void;
  /** Number of instances kept aside, per study. */
  conflictCounts(): ReadonlyMap<string, number>;
  /** Removes a study from the disk, if nothing of it waits. Returns whether it did. */
  forget(key: string): Promise<boolean>;
  /** Writes what is still to be written, and closes what is kept open. Nothing is to be committed afterwards. */
  close(): Promise<void>;
}

export interface StudyStoreOptions {
  readonly limits?: StudyLimits;
  readonly tell?: Tell;
  /** Room on the disk for the reception log; 0, as by default: every instance goes into its file at once. */
  readonly logMegabytes?: number;
}

/** Opens the store: wipes what was half-received, reads every study that still waits, and tells what is damaged. */
export async function openStudyStore(
  layout: Layout,
  { limits = UNLIMITED, tell = () => undefined, logMegabytes = 0 }: StudyStoreOptions = {},
): Promise<StudyStore> {
  const studies = new Map<string, StoredStudy>();
  const loading = new Map<string, Promise<StoredStudy | undefined>>();
  const { alone, isBusy, ...slots } = createStudySlots();
  const staging = await openStaging(layout, tell, logMegabytes, (keys) =>
    Promise.all([...keys].map(readAgain)),
  );
  const conflicts = await countConflicts(layout);
  const writers = createStudyWriters(layout);

  for (const key of await studyKeys(layout)) {
    const study = await loadStudy(layout, key, tell);
    if (study !== undefined && isGathering(study)) studies.set(key, study);
  }

  const find = (key: string): Promise<StoredStudy | undefined> => {
    // It becomes part of a path, and comes from anywhere.
    if (!isStudyKey(key)) return Promise.resolve(undefined);
    const known = studies.get(key);
    if (known !== undefined) return Promise.resolve(known);
    const running = loading.get(key) ?? loadStudy(layout, key, tell).finally(() => loading.delete(key));
    loading.set(key, running);
    return running;
  };

  /** The one object of a study that changes go to: kept from here on, or another reading of the disk would lack them. */
  const keep = async (key: string): Promise<StoredStudy> => {
    const found = await find(key);
    if (found === undefined) throw new GatewayError('STUDY_NOT_FOUND', 'there is no such study');
    const study = studies.get(key) ?? found;
    studies.set(key, study);
    return study;
  };

  /** Files are there now that a full disk has kept the start from making. */
  async function readAgain(key: string): Promise<void> {
    const found = await loadStudy(layout, key, tell);
    const known = studies.get(key);
    if (known === undefined && found !== undefined && isGathering(found)) studies.set(key, found);
    for (const [uid, instance] of found?.instances ?? [])
      if (known?.instances.has(uid) === false) known.add(instance);
  }

  /** @throws SPOOL_WRITE_FAILED */
  const assertWhole = (key: string): void => {
    if (!staging.lacks(key)) return;
    const text = 'instances that the study has wait for the data disk to take their files';
    throw new GatewayError('SPOOL_WRITE_FAILED', text);
  };

  const openStudy = async (studyInstanceUid: Uid): Promise<StoredStudy> => {
    const key = studyKey(studyInstanceUid);
    const found = await find(key);
    if (found === undefined) {
      await makeFolder(layout.study(key));
      await createFileDurably(studyDocument(layout, key), `${JSON.stringify({ studyInstanceUid })}\n`);
    }
    const study = studies.get(key) ?? found ?? new StoredStudy(key, studyInstanceUid);
    studies.set(key, study);
    return study;
  };

  const keepAside = async (staged: StagedFile, key: string, instance: ReceivedInstance): Promise<void> => {
    const path = await staged.settle();
    const folder = layout.conflictsOf(key);
    await makeFolder(folder);
    const name = `${instance.sopInstanceUid}-${instance.sha256.slice(0, 16)}.dcm`;
    if (await linkDurably(path, join(folder, name))) {
      conflicts.set(key, (conflicts.get(key) ?? 0) + 1);
    }
  };

  const place = async (staged: StagedFile, study: StoredStudy, unhashed: UnhashedInstance) => {
    assertWhole(study.key);
    const known = study.instances.get(unhashed.sopInstanceUid);
    if (known?.sha256 === UNKNOWN) await staging.settled(study.key);
    // It is still unknown of one that the disk has damaged, which may come again.
    if (known !== undefined && known.sha256 !== UNKNOWN) {
      const instance = { ...unhashed, sha256: await staged.sha256() };
      if (sameBytes(known, instance)) return 'duplicate';
      await keepAside(staged, study.key, instance);
      return 'conflict';
    }
    const counted = study.reserve(unhashed.dataSetBytes, limits);
    try {
      const instance = { ...unhashed, sha256: UNKNOWN };
      const path = layout.instance(study.key, unhashed.sopInstanceUid);
      const isPlaced = await writers.of(study.key).place(staged, path, (sha256) => {
        instance.sha256 = sha256;
        return writers.of(study.key).note(instance);
      });
      if (!isPlaced) throw new GatewayError('FAULT', 'the spool holds a file that its index does not know');
      study.add(instance);
    } finally {
      counted();
    }
    return 'stored';
  };

  const forget = async (key: string): Promise<void> => {
    studies.delete(key);
    await writers.close(key);
    // Out of the way by one rename first, so that a crash never leaves half a study.
    const doomed = join(layout.scratch, `forget-${key}-${randomUUID()}`);
    await rename(layout.study(key), doomed);
    await syncFolder(layout.studies);
    await rm(doomed, { recursive: true, force: true });
  };

  return {
    stage: staging.stage,
    stageNext: staging.stageNext,
    // The same instance may arrive on two associations at once; the second waits for the first one's outcome.
    commit: (staged, studyInstanceUid, instance) =>
      alone(studyKey(studyInstanceUid), instance.sopInstanceUid, async () => {
        try {
          return await place(staged, await openStudy(studyInstanceUid), instance);
        } catch (error) {
          throw classifyDiskError(error);
        } finally {
          await staged.discard();
        }
      }),
    attach: (staged, key, attachment) =>
      alone(key, attachment.name, async () => {
        try {
          const study = await keep(key);
          const placed = await placeAttachment(layout, key, await staged.settle(), attachment);
          if (placed.sha256 !== attachment.sha256 || placed.kind !== attachment.kind) return 'conflict';
          if (study.attachments.has(placed.name)) return 'duplicate';
          study.attach(placed);
          return 'stored';
        } catch (error) {
          throw classifyDiskError(error);
        } finally {
          await staged.discard();
        }
      }),
    describe: (key, extensions) =>
      alone(key, EXTENSIONS_SLOT, async () => {
        const study = await keep(key);
        try {
          await writeFileDurably(extensionsDocument(layout, key), `${JSON.stringify(extensions)}\n`);
        } catch (error) {
          throw classifyDiskError(error);
        }
        study.extensions = extensions;
      }),
    settled: () => staging.settled(),
    unfiled: staging.unfiled,
    gathering: () => [...studies.values()].filter(isGathering),
    find,
    async freeze(key, freeze) {
      const study = await find(key);
      if (study === undefined) throw new GatewayError('STUDY_NOT_FOUND', 'there is no such study');
      assertWhole(key);
      await staging.settled(key);
      // Whoever reads the study now shall not have to hash what the journal would have told.
      await scribeIsIdle();
      if (!(await writeFreeze(layout, key, freeze))) {
        throw new GatewayError('STATE_INVALID', 'this study was completed a moment ago');
      }
      study.freeze(freeze);
    },
    keys: () => studyKeys(layout),
    release(key) {
      const study = studies.get(key);
      // What is just being added would be added to a study that nobody looks at any more.
      if (study !== undefined && !isGathering(study) && !isBusy(key)) {
        studies.delete(key);
        void writers.close(key);
      }
    },
    conflictCounts: () => conflicts,
    async forget(key) {
      const study = await find(key);
      if (isBusy(key) || staging.lacks(key) || (study !== undefined && isGathering(study))) return false;
      await slots.forget(key, () => forget(key));
      return true;
    },
    async close() {
      await staging.close();
      await writers.closeAll();
    },
  };
}

function sameBytes(a: ReceivedInstance, b: ReceivedInstance): boolean {
  return a.sha256 === b.sha256 && a.transferSyntaxUid === b.transferSyntaxUid;
}

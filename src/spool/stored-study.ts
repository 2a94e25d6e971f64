/** A study in memory, as its folder on the disk has it; the one place that keeps the two in step. */
import type { Attachment } from '../domain/attachment.js';
import type { Extensions } from '../domain/extensions.js';
import type { ReceivedInstance } from '../domain/instance.js';
import type { Freeze, Gathering, Study } from '../domain/study.js';
import type { Uid } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';

/** How large a study may grow. */
export interface StudyLimits {
  /** Of all data sets together. */
  readonly maxBytes: number;
  readonly maxInstances: number;
}

interface MutableGathering extends Gathering {
  readonly instances: Set<Uid>;
  readonly attachments: Set<string>;
  dataSetBytes: number;
  firstAtMs: number;
  lastAtMs: number;
  readonly modalities: Set<string>;
  readonly callingAes: Set<string>;
}

export class StoredStudy implements Study {
  readonly key: string;
  readonly studyInstanceUid: Uid;
  readonly instances = new Map<Uid, ReceivedInstance>();
  readonly attachments = new Map<string, Attachment>();
  extensions?: Extensions;
  readonly freezes: Freeze[] = [];
  gathering: Gathering;
  /** Of all data sets, those included that are being committed. */
  #bytes = 0;
  /** Instances that are being committed. */
  #incoming = 0;
  readonly #frozen = new Set<Uid>();
  readonly #frozenAttachments = new Set<string>();
  #gathering: MutableGathering;

  constructor(key: string, studyInstanceUid: Uid) {
    this.key = key;
    this.studyInstanceUid = studyInstanceUid;
    this.#gathering = emptyGathering();
    this.gathering = this.#gathering;
  }

  /**
   * Counts an instance that is about to be committed, so that many at once do not pass a limit that each of them keeps.
   * Returns what takes it back, to be called when it is committed or has failed.
   * @throws STUDY_TOO_LARGE
   */
  reserve(dataSetBytes: number, { maxBytes, maxInstances }: StudyLimits): () => void {
    if (this.instances.size + this.#incoming >= maxInstances) {
      throw new GatewayError(
        'STUDY_TOO_LARGE',
        `the study has ${maxInstances} instances, and may have no more`,
      );
    }
    if (this.#bytes + dataSetBytes > maxBytes) {
      throw new GatewayError('STUDY_TOO_LARGE', `the study would have more than ${maxBytes} bytes`);
    }
    this.#incoming += 1;
    this.#bytes += dataSetBytes;
    return () => {
      this.#incoming -= 1;
      this.#bytes -= dataSetBytes;
    };
  }

  add(instance: ReceivedInstance): void {
    this.#bytes += instance.dataSetBytes;
    this.instances.set(instance.sopInstanceUid, instance);
    if (!this.#frozen.has(instance.sopInstanceUid)) addTo(this.#gathering, instance);
  }

  attach(attachment: Attachment): void {
    this.attachments.set(attachment.name, attachment);
    if (!this.#frozenAttachments.has(attachment.name)) addAttachment(this.#gathering, attachment);
  }

  freeze(freeze: Freeze): void {
    this.freezes.push(freeze);
    for (const uid of freeze.sopInstanceUids) this.#frozen.add(uid);
    for (const name of freeze.attachments ?? []) this.#frozenAttachments.add(name);
    this.#gathering = emptyGathering();
    this.gathering = this.#gathering;
    for (const instance of this.instances.values()) {
      if (!this.#frozen.has(instance.sopInstanceUid)) addTo(this.#gathering, instance);
    }
    for (const attachment of this.attachments.values()) {
      if (!this.#frozenAttachments.has(attachment.name)) addAttachment(this.#gathering, attachment);
    }
  }
}

function emptyGathering(): MutableGathering {
  return {
    instances: new Set(),
    attachments: new Set(),
    dataSetBytes: 0,
    firstAtMs: 0,
    lastAtMs: 0,
    modalities: new Set(),
    callingAes: new Set(),
  };
}

function addTo(gathering: MutableGathering, instance: ReceivedInstance): void {
  arrived(gathering, instance.receivedAtMs);
  gathering.instances.add(instance.sopInstanceUid);
  gathering.dataSetBytes += instance.dataSetBytes;
  if (instance.modality !== '') gathering.modalities.add(instance.modality);
  gathering.callingAes.add(instance.callingAe);
}

function addAttachment(gathering: MutableGathering, { name, addedAtMs }: Attachment): void {
  arrived(gathering, addedAtMs);
  gathering.attachments.add(name);
}

/** Called before the newcomer is counted. */
function arrived(gathering: MutableGathering, atMs: number): void {
  const isFirst = gathering.instances.size + gathering.attachments.size === 0;
  gathering.firstAtMs = isFirst ? atMs : Math.min(gathering.firstAtMs, atMs);
  gathering.lastAtMs = Math.max(gathering.lastAtMs, atMs);
}

/** A study in memory, as its folder on the disk has it; the one place that keeps the two in step. */
import type { ReceivedInstance } from '../domain/instance.js';
import type { Freeze, Gathering, Study } from '../domain/study.js';
import type { Uid } from '../domain/uid.js';

interface MutableGathering extends Gathering {
  readonly instances: Set<Uid>;
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
  readonly freezes: Freeze[] = [];
  gathering: Gathering;
  readonly #frozen = new Set<Uid>();
  #gathering: MutableGathering;

  constructor(key: string, studyInstanceUid: Uid) {
    this.key = key;
    this.studyInstanceUid = studyInstanceUid;
    this.#gathering = emptyGathering();
    this.gathering = this.#gathering;
  }

  add(instance: ReceivedInstance): void {
    this.instances.set(instance.sopInstanceUid, instance);
    if (!this.#frozen.has(instance.sopInstanceUid)) addTo(this.#gathering, instance);
  }

  freeze(freeze: Freeze): void {
    this.freezes.push(freeze);
    for (const uid of freeze.sopInstanceUids) this.#frozen.add(uid);
    this.#gathering = emptyGathering();
    this.gathering = this.#gathering;
    for (const instance of this.instances.values()) {
      if (!this.#frozen.has(instance.sopInstanceUid)) addTo(this.#gathering, instance);
    }
  }
}

function emptyGathering(): MutableGathering {
  return {
    instances: new Set(),
    dataSetBytes: 0,
    firstAtMs: 0,
    lastAtMs: 0,
    modalities: new Set(),
    callingAes: new Set(),
  };
}

function addTo(gathering: MutableGathering, instance: ReceivedInstance): void {
  const { receivedAtMs } = instance;
  gathering.firstAtMs =
    gathering.instances.size === 0 ? receivedAtMs : Math.min(gathering.firstAtMs, receivedAtMs);
  gathering.lastAtMs = Math.max(gathering.lastAtMs, receivedAtMs);
  gathering.instances.add(instance.sopInstanceUid);
  gathering.dataSetBytes += instance.dataSetBytes;
  if (instance.modality !== '') gathering.modalities.add(instance.modality);
  gathering.callingAes.add(instance.callingAe);
}

/** Modalities that wait for our word on storage commitment, and could not be told. */
import { card } from './attention-card.js';
import { plural } from './format.js';

/** @param commitment absent where modalities may not ask */
export function commitmentItems(commitment) {
  return (commitment?.untold ?? []).map(({ callingAe, requestCount, sinceMs, message }) =>
    card({
      key: `commitment ${callingAe}`,
      tone: 'warn',
      title: `${callingAe} could not be told what we commit to (${plural(requestCount, 'request')})`,
      atMs: sinceMs,
      why: message ?? 'The config does not say where it listens. It is told when it next connects for it.',
      advice:
        message === undefined
          ? 'add reportTo, its host and port, to its entry in dimse.callers'
          : 'check that the modality listens there, and reportTo in dimse.callers; it is tried again by itself',
    }),
  );
}

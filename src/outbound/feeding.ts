/** Which open associations have sent instances of which studies: a study is not complete while one still may. */

export interface Feeding {
  fed(associationId: string, studyKey: string): void;
  closed(associationId: string): void;
  isFed(studyKey: string): boolean;
}

export function createFeeding(): Feeding {
  const studiesOf = new Map<string, Set<string>>();
  const feeders = new Map<string, number>();
  return {
    fed(associationId, studyKey) {
      let studies = studiesOf.get(associationId);
      if (studies === undefined) {
        studies = new Set();
        studiesOf.set(associationId, studies);
      }
      if (studies.has(studyKey)) return;
      studies.add(studyKey);
      feeders.set(studyKey, (feeders.get(studyKey) ?? 0) + 1);
    },
    closed(associationId) {
      for (const key of studiesOf.get(associationId) ?? []) {
        const left = (feeders.get(key) ?? 1) - 1;
        if (left === 0) feeders.delete(key);
        else feeders.set(key, left);
      }
      studiesOf.delete(associationId);
    },
    isFed: (studyKey) => feeders.has(studyKey),
  };
}

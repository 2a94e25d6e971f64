/** Who works on a study: one at a time for each of its instances, or other slots, and none while it is being forgotten. */

export interface StudySlots {
  /** Runs `work` when nobody else is in the slot, and the study is not being forgotten. */
  alone<T>(key: string, slot: string, work: () => Promise<T>): Promise<T>;
  /** Forgets the study, of which no slot may be busy. */
  forget(key: string, work: () => Promise<void>): Promise<void>;
  isBusy(key: string): boolean;
}

export function createStudySlots(): StudySlots {
  /** By study and slot; by study alone, what is being forgotten. */
  const working = new Map<string, Promise<unknown>>();
  const busy = (key: string, name: string) => working.get(key) ?? working.get(name);

  const run = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const running = work();
    working.set(name, running);
    try {
      return await running;
    } finally {
      working.delete(name);
    }
  };

  return {
    async alone(key, slot, work) {
      const name = `${key}/${slot}`;
      for (let other = busy(key, name); other !== undefined; other = busy(key, name)) {
        await other.catch(() => undefined);
      }
      return run(name, work);
    },
    forget: run,
    isBusy: (key) => [...working.keys()].some((name) => name.startsWith(key)),
  };
}

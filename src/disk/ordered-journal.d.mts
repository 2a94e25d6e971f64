/** Type of ordered-journal.mjs, which says what it is for. */
export function hasOrderedJournal(folder: string): boolean;

/** How urgent a study is, as its route says. */

/** Most urgent first. */
export const PRIORITIES = ['stat', 'routine', 'low'] as const;

export type Priority = (typeof PRIORITIES)[number];

/** Negative when `a` goes before `b`, 0 when they are alike, positive when `b` goes first. */
export function comparePriority(a: Priority, b: Priority): number {
  return PRIORITIES.indexOf(a) - PRIORITIES.indexOf(b);
}

/**
 * Associations that are kept open for a while after their study, and used for the next one to the same PACS whose
 * presentation contexts fit. What was of use lately is proposed along with what is needed, so that they fit oftener.
 *
 * A peer may be gone without a word: an association that was idle is looked at before it is lent, and whoever gets one
 * that is `reused` must take a failure before its first answer for a dead association, not for an unanswered C-STORE.
 */
import { setImmediate } from 'node:timers/promises';
import type { Log } from '../observe/log.js';
import { openScuAssociation, type ScuAssociation, type ScuAssociationOptions } from './scu-association.js';
import { keyOf } from './scu-contexts.js';
import type { ProposedContext } from './scu-library.js';
import { VERIFICATION, widen } from './store-plan.js';

export interface AssociationWish extends ScuAssociationOptions {
  /** One that was kept open will not do. */
  readonly fresh?: boolean;
  readonly log?: Log;
}

export interface Lease {
  readonly association: ScuAssociation;
  /** It was kept open after an earlier use. */
  readonly reused: boolean;
  /** Answers that it had before. */
  readonly answersBefore: number;
  /** Ends the use: the association is kept, or released. Never throws. */
  giveBack(): Promise<void>;
}

export interface ScuPool {
  /** @throws what `openScuAssociation` throws */
  take(wish: AssociationWish): Promise<Lease>;
  /** Releases what is idle now, and later what is given back. Never throws. */
  close(): Promise<void>;
}

/** After a shorter time the line is believed to be as it was. */
const TRUSTED_MS = 1_000;
/** For the answer to the C-ECHO that looks whether the peer is still there. */
const ALIVE_TIMEOUT_MS = 5_000;
/** Kinds of instances that are remembered for each PACS. */
const MAX_REMEMBERED = 32;

interface Idle {
  readonly association: ScuAssociation;
  readonly sinceMs: number;
  readonly timer: NodeJS.Timeout;
}

/** An association that is released when it is given back. */
export async function takeOnce(wish: AssociationWish): Promise<Lease> {
  const association = await openLogged(wish);
  return { association, reused: false, answersBefore: 0, giveBack: () => association.release() };
}

export function createScuPool(): ScuPool {
  const idle = new Map<string, Idle[]>();
  const remembered = new Map<string, Map<string, ProposedContext>>();
  let isClosed = false;

  const remember = (key: string, contexts: readonly ProposedContext[]): void => {
    const known = remembered.get(key) ?? new Map<string, ProposedContext>();
    remembered.set(key, known);
    for (const context of contexts) {
      // The latest stand last.
      known.delete(keyOf(context));
      known.set(keyOf(context), context);
    }
    for (const oldest of known.keys()) if (known.size > MAX_REMEMBERED) known.delete(oldest);
  };
  const forget = (key: string, one: Idle): void => {
    clearTimeout(one.timer);
    const left = (idle.get(key) ?? []).filter((each) => each !== one);
    if (left.length === 0) idle.delete(key);
    else idle.set(key, left);
  };
  const keep = async (key: string, association: ScuAssociation, keepOpenMs: number): Promise<void> => {
    if (association.failure !== undefined || isClosed || keepOpenMs <= 0) return association.release();
    association.obey(undefined);
    const expired = () => {
      forget(key, one);
      void association.release();
    };
    const one: Idle = {
      association,
      sinceMs: performance.now(),
      timer: setTimeout(expired, keepOpenMs).unref(),
    };
    idle.set(key, [...(idle.get(key) ?? []), one]);
    association.ended.addEventListener('abort', () => forget(key, one), { once: true });
  };
  const reuse = async (key: string, wish: AssociationWish): Promise<ScuAssociation | undefined> => {
    for (;;) {
      const fits = ({ association }: Idle) => wish.contexts.every((each) => association.proposed(each));
      const one = idle.get(key)?.findLast(fits);
      if (one === undefined) return undefined;
      forget(key, one);
      one.association.obey(wish.signal);
      if (await isAlive(one)) return one.association;
    }
  };

  return {
    async take(wish) {
      const { pacs, callingAe } = wish;
      const key = JSON.stringify([pacs, callingAe]);
      const before = wish.fresh === true ? undefined : await reuse(key, wish);
      remember(key, wish.contexts);
      const association =
        before ??
        (await openLogged({
          ...wish,
          contexts: widen(wish.contexts, [VERIFICATION, ...(remembered.get(key)?.values() ?? [])]),
        }));
      return {
        association,
        reused: before !== undefined,
        answersBefore: association.answers,
        giveBack: () => keep(key, association, pacs.keepOpenMs ?? 0),
      };
    },
    async close() {
      isClosed = true;
      const all = [...idle].flatMap(([key, list]) => list.map((one) => ({ key, one })));
      for (const { key, one } of all) forget(key, one);
      await Promise.all(all.map(({ one }) => one.association.release()));
    },
  };
}

async function isAlive({ association, sinceMs }: Idle): Promise<boolean> {
  // What has already come in, such as its end, is read first.
  await setImmediate();
  const isTrusted = performance.now() - sinceMs < TRUSTED_MS;
  if (association.failure === undefined && !isTrusted && association.refusal(VERIFICATION) === undefined) {
    await association.echo(ALIVE_TIMEOUT_MS).catch(() => undefined);
  }
  return association.failure === undefined;
}

async function openLogged(wish: AssociationWish): Promise<ScuAssociation> {
  const { log, pacs, contexts } = wish;
  const association = await openScuAssociation(wish);
  log?.debug({ event: 'association.opened', contexts: contexts.length, window: association.window });
  if (!association.userConfirmed) log?.warn({ event: 'pacs.user_not_confirmed', pacs: pacs.name });
  return association;
}

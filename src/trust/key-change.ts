/**
 * What a rotation, a retirement and a revocation make of our keys, and what partners are told of it. Pure: loaded keys in,
 * change out; key-store.ts brings it to the disk.
 *
 * - The key before the new one signs for the new one. A signing key that has a successor is of no more use, so its private
 *   half goes; before, it signs its own revocation, for the day on which somebody is found to have a copy of it.
 * - Nobody believes what a revoked key signed, so after the present signing key was revoked no statement can introduce
 *   the next one: partners have to be told by people.
 */
import type { KeyObject } from 'node:crypto';
import { GatewayError } from '../errors/gateway-error.js';
import { MAX_REVOKED, signAnnouncement } from './announcement.js';
import { generatePrivateKey, type KeyPurpose, parsePublicKey } from './key-files.js';
import {
  type KeyGeneration,
  type KeyRing,
  needsPrivateHalf,
  newGeneration,
  presentOf,
  stateAt,
} from './key-ring.js';
import type { KeyChange, LoadedKeys } from './key-store.js';

export interface ChangeContext {
  /** Organisation id. */
  readonly siteId: string;
  readonly nowMs: number;
  /** `keys.overlapDays`. */
  readonly overlapMs: number;
}

/** New keys for these purposes. */
export function rotateKeys(
  loaded: LoadedKeys,
  purposes: readonly KeyPurpose[],
  context: ChangeContext,
): KeyChange {
  const { ring } = loaded;
  const signer = presentSigner(loaded);
  const { generations, made } = withSuccessors(
    ring.generations.map((each) =>
      each.state === 'present' && purposes.includes(each.purpose) ? succeeded(each, signer, context) : each,
    ),
    context,
  );
  return {
    ring: {
      ...ring,
      generations,
      announcements: [...current(ring, context), announce(generations, [], signer, context)],
    },
    made,
  };
}

/**
 * Ends the time in which an old encryption key is honoured.
 * @returns undefined when it has ended already
 * @throws REQUEST_INVALID when there is no such key, STATE_INVALID for a present one
 */
export function retireKey(
  { ring }: LoadedKeys,
  kid: string,
  { nowMs }: Pick<ChangeContext, 'nowMs'>,
): KeyChange | undefined {
  const found = find(ring, kid);
  const state = stateAt(found, nowMs);
  if (state === 'present') {
    throw new GatewayError('STATE_INVALID', `${kid} is the present ${found.purpose} key: rotate first`);
  }
  if (state !== 'honoured') return undefined;
  const { untilMs: _, ...rest } = found;
  const retired: KeyGeneration = { ...rest, state: 'retired' };
  return {
    ring: { ...ring, generations: ring.generations.map((each) => (each.kid === kid ? retired : each)) },
    made: new Map(),
  };
}

/**
 * Declares keys to be in other hands. Where one is the present one, another takes its place. Where both present ones are,
 * the whole folder was: the older encryption keys that are still honoured lay there too, and are revoked as well.
 * @returns undefined when all of them are revoked already
 * @throws REQUEST_INVALID when there is no such key
 */
export function revokeKeys(
  loaded: LoadedKeys,
  kids: readonly string[],
  context: ChangeContext,
): KeyChange | undefined {
  const { ring } = loaded;
  const named = kids.map((kid) => find(ring, kid));
  const isFolderHit = (['encryption', 'signing'] as const).every((purpose) =>
    named.includes(presentOf(ring, purpose)),
  );
  const hit = [...new Set([...named, ...(isFolderHit ? honouredKeys(ring, context.nowMs) : [])])].filter(
    ({ state }) => state !== 'revoked',
  );
  if (hit.length === 0) return undefined;
  const signer = presentSigner(loaded);
  const isHit = ({ kid }: KeyGeneration) => hit.some((each) => each.kid === kid);
  const { generations, made } = withSuccessors(
    ring.generations.map((each) => (isHit(each) ? revoked(each, context) : each)),
    context,
  );
  const isSignerHit = hit.some(({ purpose, state }) => purpose === 'signing' && state === 'present');
  // The signer's own comes last: nothing that it says after that is believed.
  const told = [
    ...hit.filter(({ purpose }) => purpose === 'encryption'),
    ...hit.filter(({ purpose, state }) => purpose === 'signing' && state === 'present'),
  ].map(({ kid }) => kid);
  const own = hit.flatMap(({ purpose, state, revocation }) =>
    purpose === 'signing' && state === 'retired' && revocation !== undefined ? [revocation] : [],
  );
  return {
    ring: {
      ...ring,
      generations,
      announcements: [
        ...current(ring, context),
        ...own.map((jws) => ({ jws, atMs: context.nowMs })),
        ...(isSignerHit || made.size === 0 ? [] : [announce(generations, [], signer, context)]),
        ...chunksOf(told, MAX_REVOKED).map((each) => forEver(announce([], each, signer, context))),
      ],
    },
    made,
  };
}

/** Older encryption keys that still open what comes. */
export function honouredKeys({ generations }: KeyRing, nowMs: number): readonly KeyGeneration[] {
  return generations.filter((each) => stateAt(each, nowMs) === 'honoured');
}

function chunksOf(kids: readonly string[], size: number): readonly (readonly string[])[] {
  return kids.length === 0 ? [] : [kids.slice(0, size), ...chunksOf(kids.slice(size), size)];
}

function find(ring: KeyRing, kid: string): KeyGeneration {
  const found = ring.generations.find((each) => each.kid === kid);
  if (found !== undefined) return found;
  throw new GatewayError('REQUEST_INVALID', `there is no key ${kid}; see \`drawbridge keys list\``);
}

function presentSigner({ ring, privateKeys }: LoadedKeys): KeyObject {
  const { kid } = presentOf(ring, 'signing');
  const key = privateKeys.get(kid);
  if (key === undefined) throw new GatewayError('FAULT', `the present signing key ${kid} was not read`);
  return key;
}

function succeeded(generation: KeyGeneration, signer: KeyObject, context: ChangeContext): KeyGeneration {
  const { nowMs, overlapMs } = context;
  return generation.purpose === 'encryption'
    ? { ...generation, state: 'honoured', endedAtMs: nowMs, untilMs: nowMs + overlapMs }
    : {
        ...generation,
        state: 'retired',
        endedAtMs: nowMs,
        revocation: announce([], [generation.kid], signer, context).jws,
      };
}

function revoked(generation: KeyGeneration, { nowMs, overlapMs }: ChangeContext): KeyGeneration {
  const { untilMs: _, ...rest } = generation;
  const isKept = generation.purpose === 'encryption' && needsPrivateHalf(generation, nowMs);
  return {
    ...rest,
    state: 'revoked',
    endedAtMs: generation.endedAtMs ?? nowMs,
    ...(isKept ? { untilMs: nowMs + overlapMs } : {}),
  };
}

/** Each purpose has a present key again. */
function withSuccessors(
  generations: readonly KeyGeneration[],
  { nowMs }: ChangeContext,
): { generations: KeyGeneration[]; made: ReadonlyMap<string, KeyObject> } {
  const made = new Map<string, KeyObject>();
  const added = (['encryption', 'signing'] as const)
    .filter((purpose) => !generations.some((each) => each.purpose === purpose && each.state === 'present'))
    .map((purpose) => {
      const key = generatePrivateKey(purpose);
      const generation = newGeneration(purpose, key, nowMs);
      made.set(generation.kid, key);
      return generation;
    });
  return { generations: [...generations, ...added], made };
}

/** What is still told. */
function current({ announcements }: KeyRing, { nowMs }: ChangeContext): KeyRing['announcements'] {
  return announcements.filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs);
}

/** A statement that names the present ones among `generations`. */
function announce(
  generations: readonly KeyGeneration[],
  revokedKids: readonly string[],
  signer: KeyObject,
  { siteId, nowMs, overlapMs }: ChangeContext,
): KeyRing['announcements'][number] {
  const present = (purpose: KeyPurpose) =>
    generations
      .filter((each) => each.purpose === purpose && each.state === 'present')
      .map(({ key }) => parsePublicKey(key, purpose));
  const jws = signAnnouncement(
    {
      site: siteId,
      issuedAtMs: nowMs,
      signing: present('signing'),
      encryption: present('encryption'),
      revoked: revokedKids,
    },
    signer,
  );
  return { jws, atMs: nowMs, untilMs: nowMs + overlapMs };
}

/**
 * Whoever has been away for long must hear of a revocation too. It names no new keys: they grow old, and would be taken
 * for the newest when nothing else is told any more.
 */
function forEver({ jws, atMs }: KeyRing['announcements'][number]): KeyRing['announcements'][number] {
  return { jws, atMs };
}

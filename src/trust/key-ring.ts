/**
 * Which generations of our keys there are, and what is to be done with each: `generations/<revision>.json` in the keys
 * folder. Each revision is a whole, immutable file, linked into place only if nobody else wrote it first, and kept: it
 * holds no secret, and tells the history. Before the first rotation there is none, and what lies in the folder counts.
 */
import type { KeyObject } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { GatewayError } from '../errors/gateway-error.js';
import { jwkThumbprint } from '../jmix/jwk-thumbprint.js';
import { rawPublicKey } from '../jmix/raw-keys.js';
import type { KeyPurpose } from './key-files.js';

const FOLDER = 'generations';
const NAME = /^(\d{6,})\.json$/;

const atMs = z.number().min(0);
const kid = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

const generationSchema = z.object({
  /** RFC 7638 thumbprint. */
  kid,
  purpose: z.enum(['encryption', 'signing']),
  /** Raw public key in base64. */
  key: z.string().regex(/^[A-Za-z0-9+/]{43}=$/),
  madeAtMs: atMs,
  /**
   * `present`: one of each purpose. `honoured`: opens what was sealed to it, until `untilMs`. `retired`: done with, as a
   * signing key is as soon as it has a successor. `revoked`: not to be trusted any more; until `untilMs` an encryption
   * key is still kept, to tell a sender who seals to it what is wrong.
   */
  state: z.enum(['present', 'honoured', 'retired', 'revoked']),
  /** When it ceased to be the present one. */
  endedAtMs: atMs.optional(),
  /** From then on its private half is not needed, and removed. */
  untilMs: atMs.optional(),
  /** Of a signing key whose private half is gone: its own revocation, signed while it was there, not published. */
  revocation: z.string().optional(),
});

const ringSchema = z.object({
  version: z.literal(1),
  revision: z.int().min(0),
  /** Oldest first. */
  generations: z.array(generationSchema),
  /** Compact JWS each, oldest first; a revocation is told for ever. */
  announcements: z.array(z.object({ jws: z.string(), atMs, untilMs: atMs.optional() })),
});

export type KeyGeneration = Readonly<z.infer<typeof generationSchema>>;
export type KeyState = KeyGeneration['state'];
export type KeyRing = Readonly<z.infer<typeof ringSchema>>;

export function generationsFolder(keysFolder: string): string {
  return join(keysFolder, FOLDER);
}

export function ringPath(keysFolder: string, revision: number): string {
  return join(keysFolder, FOLDER, `${String(revision).padStart(6, '0')}.json`);
}

/** Where the private half of a generation lies. */
export function generationPath(keysFolder: string, id: string): string {
  return join(keysFolder, FOLDER, `${id}.key`);
}

/** Where the present key of a purpose can be found under the name that it always has: a copy, once there is a ring. */
export function presentPath(keysFolder: string, purpose: KeyPurpose): string {
  return join(keysFolder, `${purpose}.key`);
}

/** @returns 0 when there is none yet */
export async function newestRevision(keysFolder: string): Promise<number> {
  try {
    const names = await readdir(generationsFolder(keysFolder));
    return Math.max(0, ...names.map((name) => Number(NAME.exec(name)?.[1] ?? 0)));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 0;
    throw error;
  }
}

/** @throws KEY_UNREADABLE */
export async function readRing(keysFolder: string, revision: number): Promise<KeyRing> {
  const path = ringPath(keysFolder, revision);
  try {
    return ringSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    throw new GatewayError('KEY_UNREADABLE', `the list of our keys cannot be read: ${path}`, { cause });
  }
}

export function formatRing(ring: KeyRing): string {
  return `${JSON.stringify(ring, null, 2)}\n`;
}

/** @param key of either half */
export function newGeneration(purpose: KeyPurpose, key: KeyObject, madeAtMs: number): KeyGeneration {
  return {
    kid: jwkThumbprint(key),
    purpose,
    key: rawPublicKey(key).toString('base64'),
    madeAtMs,
    state: 'present',
  };
}

/** @throws KEY_UNREADABLE when there is none */
export function presentOf(ring: KeyRing, purpose: KeyPurpose): KeyGeneration {
  const found = ring.generations.find((each) => each.purpose === purpose && each.state === 'present');
  if (found !== undefined) return found;
  throw new GatewayError('KEY_UNREADABLE', `the list of our keys names no present ${purpose} key`);
}

/** Its state at a time: an honoured one is retired when its time has come. */
export function stateAt({ state, untilMs }: KeyGeneration, nowMs: number): KeyState {
  return state === 'honoured' && isOver(untilMs, nowMs) ? 'retired' : state;
}

/** Whether anything is still done with its private half. */
export function needsPrivateHalf(generation: KeyGeneration, nowMs: number): boolean {
  const { state, untilMs } = generation;
  if (state === 'revoked') return untilMs !== undefined && !isOver(untilMs, nowMs);
  return stateAt(generation, nowMs) !== 'retired';
}

/** What partners are to be told. */
export function announcementsAt({ announcements }: KeyRing, nowMs: number): readonly string[] {
  return announcements.filter(({ untilMs }) => !isOver(untilMs, nowMs)).map(({ jws }) => jws);
}

function isOver(untilMs: number | undefined, nowMs: number): boolean {
  return untilMs !== undefined && untilMs <= nowMs;
}

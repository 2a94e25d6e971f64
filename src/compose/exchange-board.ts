/**
 * How the last look into each inbox went, and which envelopes there make trouble: written by the workers, who look, and
 * read by the gateway, which shows it. A note, not a record: what counts lies in the inbox itself.
 */
import { readFile } from 'node:fs/promises';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Exchange } from '../domain/exchange.js';
import type { Parking } from '../domain/parking.js';
import { CODES, type ErrorCode } from '../errors/codes.js';
import type { GatewayError } from '../errors/gateway-error.js';
import type { ExchangeView } from '../http/ports.js';
import { writeFileDurably } from '../spool/atomic.js';
import type { Layout } from '../spool/layout.js';

/** Of the envelopes that make trouble, this many are shown. */
const MAX_TROUBLES = 20;
/** The sender of an envelope that could not even be read hears nothing, so it is shown here for a while. */
const REFUSED_SHOWN_MS = 2 * 24 * 3_600_000;

export interface ExchangeState {
  readonly name: string;
  readonly lookedAtMs: number;
  /** Envelopes that wait there, as the last look found them. */
  readonly waitingCount: number;
  readonly waitingBytes: number;
  /** Why the last look failed; absent when it went well. */
  readonly error?: { readonly code: ErrorCode; readonly message: string; readonly sinceMs: number };
  /** Envelopes that could not be fetched, latest first. */
  readonly troubles: readonly (Parking & { readonly id: EnvelopeId })[];
}

export interface ExchangeBoard {
  looked(
    name: string,
    waiting: readonly { readonly id: EnvelopeId; readonly sizeBytes: number }[],
  ): Promise<void>;
  failed(name: string, error: GatewayError): Promise<void>;
  trouble(name: string, id: EnvelopeId, error: GatewayError): Promise<void>;
  /** It has been fetched after all. */
  solved(name: string, id: EnvelopeId): Promise<void>;
}

export function createExchangeBoard(layout: Layout, now: () => number): ExchangeBoard {
  const running = new Map<string, Promise<void>>();
  /** Read anew each time, since other processes write it too; one change after the other, so that none is lost here. */
  const update = (name: string, change: (state: ExchangeState) => ExchangeState): Promise<void> => {
    const write = async () => {
      const next = change((await readExchangeState(layout, name)) ?? emptyState(name));
      await writeFileDurably(layout.exchangeState(name), `${JSON.stringify(next)}\n`);
    };
    const done = (running.get(name) ?? Promise.resolve()).then(write);
    running.set(
      name,
      done.catch(() => undefined),
    );
    return done;
  };
  return {
    looked: (name, waiting) =>
      update(name, ({ error: _, ...state }) => ({
        ...state,
        lookedAtMs: now(),
        waitingCount: waiting.length,
        waitingBytes: waiting.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        troubles: state.troubles.filter((trouble) => isTroubling(trouble, waiting, now())),
      })),
    failed: (name, { code, message }) =>
      update(name, (state) => ({
        ...state,
        lookedAtMs: now(),
        error: { code, message, sinceMs: state.error?.sinceMs ?? now() },
      })),
    trouble: (name, id, { code, message }) =>
      update(name, (state) => ({
        ...state,
        troubles: [
          { id, code, message, stage: 'fetch', atMs: now() },
          ...state.troubles.filter((each) => each.id !== id),
        ].slice(0, MAX_TROUBLES),
      })),
    async solved(name, id) {
      const state = await readExchangeState(layout, name);
      if (state?.troubles.some((each) => each.id === id) !== true) return;
      await update(name, (current) => ({
        ...current,
        troubles: current.troubles.filter((each) => each.id !== id),
      }));
    },
  };
}

/** What is not there any more makes no trouble, unless it was refused for good: that somebody should hear of. */
function isTroubling(
  { id, code, atMs }: ExchangeState['troubles'][number],
  waiting: readonly { readonly id: EnvelopeId }[],
  nowMs: number,
): boolean {
  if (CODES[code].kind === 'permanent') return nowMs - atMs < REFUSED_SHOWN_MS;
  return waiting.some((each) => each.id === id);
}

/** Undefined before the first look. */
export async function readExchangeState(layout: Layout, name: string): Promise<ExchangeState | undefined> {
  try {
    return JSON.parse(await readFile(layout.exchangeState(name), 'utf8')) as ExchangeState;
  } catch {
    return undefined;
  }
}

/** As the dashboard shows it. */
export async function viewExchange(layout: Layout, { name, type }: Exchange): Promise<ExchangeView> {
  const state = (await readExchangeState(layout, name)) ?? emptyState(name);
  const { error, troubles, lookedAtMs, waitingCount, waitingBytes } = state;
  return {
    name,
    type,
    waitingCount,
    waitingBytes,
    ...(lookedAtMs === 0 ? {} : { lookedAtMs }),
    ...(error === undefined ? {} : { error: { ...error, advice: exchangeAdvice(type, error.code) } }),
    troubles: troubles.map(({ id, code, message, atMs }) => ({
      id,
      code,
      message,
      atMs,
      advice: exchangeAdvice(type, code),
    })),
  };
}

const SERVER_ADVICE: Partial<Record<ErrorCode, string>> = {
  PEER_BUSY:
    'nothing, unless it lasts: then check user and password, and ask the people who run it whether its disk is full, and how many connections a site may open',
  PEER_UNTRUSTED:
    'compare the fingerprint with the people who run it, by telephone, before changing the pin in exchanges',
  ENVELOPE_INCOMPLETE: 'nothing, if it is still being written; else the sender must send it again',
};

/** What to do where an error comes from a place between sites; the advice of the code itself speaks of peers. */
const ADVICE: Readonly<Record<Exchange['type'], Partial<Record<ErrorCode, string>>>> = {
  ftps: {
    ...SERVER_ADVICE,
    PEER_UNREACHABLE:
      'check the network, host and port in exchanges, and that the firewall lets that port and the passive ones out',
    PEER_REFUSED:
      'read what the server says; correct the login or the folder in exchanges, or ask those who run it',
  },
  hub: {
    ...SERVER_ADVICE,
    PEER_UNREACHABLE: 'check the network, the url in exchanges, and the firewall',
    PEER_REFUSED: 'ask the people who run the hub whether they know our certificate or token',
  },
  folder: {
    PEER_BUSY: 'nothing, unless it lasts: then find out which program holds files there open',
    PEER_UNREACHABLE: 'check that the disk or share is mounted, and the folder in exchanges',
    PEER_REFUSED: 'let the user that this bridge runs as read, write and delete in the folder',
    ENVELOPE_INCOMPLETE: 'nothing, if it is still being copied; else the sender must bring it again',
  },
};

/** What to do about an error at such a place. */
export function exchangeAdvice(type: Exchange['type'], code: ErrorCode): string {
  return ADVICE[type][code] ?? CODES[code].advice;
}

function emptyState(name: string): ExchangeState {
  return { name, lookedAtMs: 0, waitingCount: 0, waitingBytes: 0, troubles: [] };
}

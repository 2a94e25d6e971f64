/**
 * The desk where an operator pairs this bridge with another one: opens the window, or goes to the other side; compares,
 * agrees, and sees the test envelopes through. One pairing at a time, in the memory of the gateway; a restart forgets it.
 */
import type { Clock } from '../domain/clock.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { PairingDesk, PairingDoor, PairingTests, PairingView } from '../http/pairing-ports.js';
import type { Log } from '../observe/log.js';
import type { ClientIdentity } from '../transport/client-identity.js';
import { openPairingLine } from '../transport/https/pairing.js';
import type { PeerCard } from '../trust/peer-card.js';
import { exchangeCards, followPairing, type PairingCallParts } from './pairing-call.js';
import { PairingSession } from './pairing-session.js';
import { type OwnSide, openPairingWindow } from './pairing-window.js';

export interface PairingParts {
  /** Our card as it is now. @param host under which partners reach us */
  ownSide(host: string): OwnSide;
  readonly identity: () => ClientIdentity;
  /** @throws PAIRING_FAILED for a site that must not be pinned */
  judge(card: PeerCard): Promise<void>;
  /** Pins it; the bridge knows it from then on. */
  adopt(card: PeerCard, pairing: { readonly atMs: number; readonly words: string }): Promise<void>;
  readonly tests: PairingTestPort;
  readonly clock: Clock;
  readonly log: Log;
  readonly pollMs?: number;
}

/** Test envelopes to and from a peer. */
export interface PairingTestPort {
  /** @throws REQUEST_INVALID for an unknown peer, STATE_INVALID when nothing leads to it */
  send(peerId: string): Promise<EnvelopeId>;
  /** @param sinceMs older ones were of another pairing */
  view(peerId: string, sent: EnvelopeId | undefined, sinceMs: number): PairingTests;
}

export interface Pairing {
  readonly desk: PairingDesk;
  /** Of the window that is open, if one is. */
  readonly door: PairingDoor;
  close(): void;
}

/** Enough for two people to find each other on the telephone; the window is open no longer. */
const LIFE_MS = 10 * 60_000;
const POLL_MS = 1_000;

interface Current {
  readonly session: PairingSession;
  readonly door?: PairingDoor;
  /** Of our card. */
  readonly url?: string | undefined;
  /** Ends what runs for it. */
  readonly stop: AbortController;
  test?: { id?: EnvelopeId; unsent?: string };
}

export function createPairing(parts: PairingParts): Pairing {
  const { clock, log } = parts;
  let current: Current | undefined;

  /** @throws STATE_INVALID while one is being confirmed: the other side may have pinned us by now */
  const begin = (): Current => {
    if (current !== undefined) {
      const phase = current.session.phase();
      if (phase.state === 'comparing' && phase.mine !== 'undecided') {
        const seconds = Math.ceil((current.session.endsAtMs - clock.now()) / 1000);
        throw new GatewayError(
          'STATE_INVALID',
          `a pairing with ${phase.card.id} waits for the other side; it ends in ${seconds} s at the latest`,
        );
      }
      current.session.fail(new GatewayError('PAIRING_FAILED', 'another pairing was begun'));
    }
    const session = new PairingSession(
      { adopt: (card, words) => parts.adopt(card, { atMs: clock.now(), words }), clock, log },
      LIFE_MS,
    );
    return { session, stop: new AbortController() };
  };

  /** The tests start when nothing more is heard of the other side: they have pinned us, or never will. */
  const startTest = (pairing: Current) => {
    const phase = pairing.session.phase();
    if (phase.state !== 'paired' || !phase.ended || pairing.test !== undefined) return;
    const test: NonNullable<Current['test']> = {};
    pairing.test = test;
    parts.tests.send(phase.card.id).then(
      (id) => {
        test.id = id;
      },
      (raw: unknown) => {
        test.unsent = toGatewayError(raw).message;
      },
    );
  };

  const view = (): PairingView => {
    if (current === undefined) return { state: 'idle' };
    startTest(current);
    const { session, test, url } = current;
    const { id, endsAtMs } = session;
    const phase = session.phase();
    switch (phase.state) {
      case 'waiting':
        return { state: 'waiting', id, endsAtMs, ...(url === undefined ? {} : { url }) };
      case 'failed':
        return { state: 'failed', id, code: phase.error.code, message: phase.error.message };
      case 'comparing': {
        const { words, card, mine, theirs } = phase;
        const agreed = mine !== 'undecided';
        return {
          state: 'comparing',
          id,
          endsAtMs,
          words,
          peer: peerOf(card),
          agreed,
          peerAgreed: theirs !== 'undecided',
        };
      }
      case 'paired': {
        const { words, card, confirmed, ended, atMs } = phase;
        const tests = {
          ...parts.tests.view(card.id, test?.id, atMs),
          ...(test?.unsent === undefined ? {} : { unsent: test.unsent }),
        };
        return { state: 'paired', id, words, peer: peerOf(card), confirmed, ended, tests };
      }
    }
  };

  const sessionOf = (id: string): PairingSession => {
    if (current?.session.id === id) return current.session;
    throw new GatewayError(
      'STATE_INVALID',
      'this pairing is over: another one was begun, or the bridge restarted',
    );
  };

  const follow = (pairing: Current, call: PairingCallParts, card: PeerCard) => {
    followPairing(call, card, pairing.stop.signal)
      .catch((error: unknown) => {
        if (!pairing.stop.signal.aborted) pairing.session.fail(toGatewayError(error));
      })
      .finally(() => {
        call.line.close();
        startTest(pairing);
      });
  };

  return {
    desk: {
      view,
      open(host) {
        const pairing = begin();
        const { session } = pairing;
        const own = parts.ownSide(host);
        const door = openPairingWindow({ session, own, judge: parts.judge, clock });
        current = { ...pairing, door, url: own.card.url };
        log.info({ event: 'pairing.opened', endsAtMs: session.endsAtMs });
        return view();
      },
      async call(url, host) {
        const pairing = begin();
        const { session, stop } = pairing;
        current = pairing;
        try {
          const address = parseAddress(url);
          const line = await openPairingLine(address, parts.identity(), stop.signal);
          const { judge, pollMs = POLL_MS } = parts;
          const side = { session, own: parts.ownSide(host), line, judge, clock, pollMs };
          try {
            follow(pairing, side, await exchangeCards(side, address, stop.signal));
          } catch (error) {
            line.close();
            throw error;
          }
        } catch (error) {
          session.fail(toGatewayError(error));
          throw error;
        }
        return view();
      },
      async agree(id, words) {
        await sessionOf(id).agree(words);
        return view();
      },
      refuse(id) {
        sessionOf(id).refuse();
        return view();
      },
      async test(peerId) {
        return { id: await parts.tests.send(peerId) };
      },
    },
    door: {
      isOpen: () => current?.door?.isOpen() === true,
      request: (jws, certificate) => openDoor(current).request(jws, certificate),
      async standing(jws) {
        const pairing = current;
        const answer = await openDoor(pairing).standing(jws);
        if (pairing !== undefined) startTest(pairing);
        return answer;
      },
    },
    close: () => current?.stop.abort(),
  };
}

function openDoor(pairing: Current | undefined): PairingDoor {
  if (pairing?.door !== undefined) return pairing.door;
  throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is nothing at this address');
}

function peerOf({ id, name, contact, url }: PeerCard) {
  return { id, name, contact, ...(url === undefined ? {} : { url }) };
}

/** @throws REQUEST_INVALID */
function parseAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:' || url.username !== '' || url.pathname !== '/' || url.search !== '') {
    throw new GatewayError(
      'REQUEST_INVALID',
      'expected the address of the other bridge as https://host:port',
    );
  }
  return url;
}

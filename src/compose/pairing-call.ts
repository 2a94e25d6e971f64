/** The side that calls: brings its request to the other bridge, and then asks, until it has ended, how far they are. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../domain/clock.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { PairingLine } from '../transport/https/pairing.js';
import {
  makeRequest,
  pairingHash,
  readAnswer,
  readStanding,
  signStanding,
} from '../trust/pairing-message.js';
import type { PeerCard } from '../trust/peer-card.js';
import type { PairingSession } from './pairing-session.js';
import type { OwnSide } from './pairing-window.js';

export interface PairingCallParts {
  readonly session: PairingSession;
  readonly own: OwnSide;
  readonly line: PairingLine;
  /** @throws PAIRING_FAILED for a site that must not be pinned */
  judge(card: PeerCard): Promise<void>;
  readonly clock: Clock;
  /** Between two questions, in milliseconds. */
  readonly pollMs: number;
}

/**
 * Exchanges the messages, and makes the words.
 * @param url that the operator typed: it works, which the other side cannot know of the one on its card
 * @returns the card of the other side
 * @throws PAIRING_FAILED, and what the line throws
 */
export async function exchangeCards(
  { session, own, line, judge, clock }: PairingCallParts,
  url: URL,
  signal: AbortSignal,
): Promise<PeerCard> {
  const request = makeRequest(own.card, own.signingKey, clock.now());
  const answer = readAnswer(await line.send('request', request.jws, signal), request, clock.now());
  try {
    if (answer.card.certificateFingerprints[0] !== line.fingerprint) {
      throw new GatewayError(
        'PAIRING_FAILED',
        'the certificate of this connection is not the one on the card of the other site: somebody stands between',
        { facts: { fingerprint: line.fingerprint } },
      );
    }
    await judge(answer.card);
    await session.compare(request, answer, { ...answer.card, url: url.origin });
    return answer.card;
  } catch (error) {
    // Their operator has words on the screen by now, and would wait for ours.
    const refusal = signStanding(pairingHash(request, answer), 'refused', own.signingKey);
    await line.send('standing', refusal, signal).catch(() => undefined);
    throw error;
  }
}

/** Tells the other side how far we are, and hears how far it is, until both have pinned, or it has ended. */
export async function followPairing(
  { session, own, line, pollMs }: PairingCallParts,
  card: PeerCard,
  signal: AbortSignal,
): Promise<void> {
  const hash = session.pairing;
  if (hash === undefined) throw new GatewayError('FAULT', 'a pairing is followed before its words were made');
  for (;;) {
    const { standing } = session;
    const phase = session.phase();
    try {
      const message = signStanding(hash, standing, own.signingKey);
      const theirs = readStanding(await line.send('standing', message, signal), hash, card);
      await session.hear(theirs);
      // They have heard that it is over, or that we have pinned them.
      if (phase.state === 'failed' || (phase.state === 'paired' && phase.confirmed)) return;
    } catch (raw) {
      const error = toGatewayError(raw);
      // A line that breaks is tried again for as long as there is time.
      if (error.kind === 'permanent') session.fail(error);
      if (phase.state === 'failed' || (phase.state === 'paired' && phase.ended)) return;
    }
    if (session.phase().state !== 'failed') await pause(pollMs, undefined, { signal });
    signal.throwIfAborted();
  }
}

/**
 * The side that is called: for as long as its operator has opened the window, one site may come with a request, and hears
 * how far we are. The first one gets the answer. A second one ends the pairing, since nobody could tell which of the two
 * the operator on the telephone is: somebody in between would otherwise ask until an answer suits him. The price is that
 * whoever can reach the port can spoil a pairing; he gains nothing by it.
 */
import type { KeyObject } from 'node:crypto';
import type { Clock } from '../domain/clock.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { PairingDoor } from '../http/pairing-ports.js';
import {
  makeAnswer,
  type PairingMessage,
  readRequest,
  readStanding,
  signStanding,
} from '../trust/pairing-message.js';
import type { PeerCard } from '../trust/peer-card.js';
import type { PairingSession } from './pairing-session.js';

export interface OwnSide {
  readonly card: PeerCard;
  /** The Ed25519 key of the card, private. */
  readonly signingKey: KeyObject;
}

export interface PairingWindowParts {
  readonly session: PairingSession;
  readonly own: OwnSide;
  /** @throws PAIRING_FAILED for a site that must not be pinned */
  judge(card: PeerCard): Promise<void>;
  readonly clock: Clock;
}

/** For as long after its end the other side may still hear how it ended. */
const LINGER_MS = 60_000;

export function openPairingWindow(parts: PairingWindowParts): PairingDoor {
  const { session, own, clock } = parts;
  let first: PairingMessage | undefined;
  let answering: Promise<PairingMessage> | undefined;
  let comparing: Promise<void> | undefined;

  const answerTo = async (request: PairingMessage): Promise<PairingMessage> => {
    try {
      await parts.judge(request.card);
    } catch (raw) {
      // What is known here of others is not for a stranger.
      session.fail(toGatewayError(raw));
      throw failed('the other side refuses this pairing; its screen says why', raw);
    }
    return makeAnswer(request, own.card, own.signingKey, clock.now());
  };

  return {
    isOpen: () => clock.now() < session.endsAtMs + LINGER_MS,
    async request(jws, certificate) {
      const { state } = session.phase();
      if (state === 'paired' || state === 'failed') throw absent();
      // The same one again: its answer was lost.
      if (answering !== undefined && first?.jws.equals(jws) === true) return (await answering).jws;
      const request = readRequest(jws, clock.now());
      if (request.card.certificateFingerprints[0] !== certificate) {
        throw failed('the request came over a connection with another certificate than its card names');
      }
      if (first !== undefined) {
        session.fail(failed('a second site has asked to be paired in the same window'));
        throw failed('another site has asked to be paired in the same window, so both are refused');
      }
      first = request;
      answering = answerTo(request);
      const answer = await answering;
      comparing ??= session
        .compare(request, answer, request.card)
        .catch((error: unknown) => session.fail(toGatewayError(error)));
      return answer.jws;
    },
    async standing(jws) {
      await comparing;
      const hash = session.pairing;
      if (first === undefined || hash === undefined) throw absent();
      const theirs = readStanding(jws, hash, first.card);
      // That we could not pin them is our own trouble; they hear that it has ended.
      await session.hear(theirs).catch(() => undefined);
      return signStanding(hash, session.standing, own.signingKey);
    },
  };
}

function failed(message: string, cause?: unknown): GatewayError {
  return new GatewayError('PAIRING_FAILED', message, { cause });
}

/** As for every address at which there is nothing. */
function absent(): GatewayError {
  return new GatewayError('ENVELOPE_NOT_FOUND', 'there is nothing at this address');
}

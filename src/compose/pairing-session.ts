/**
 * One pairing, as one of the two sides sees it: from the first message to "both have pinned", or to nothing. Lives in
 * memory only. Nothing is pinned before both operators have said yes; a no, other words, the end of the time, or a
 * message that does not belong here leaves nothing behind.
 *
 * The two sides tell each other how far they are (`Standing`). Who has agreed and hears that the other has too pins it,
 * and says so. The last of these messages may be lost: then one side has pinned, and the other has not, and the first
 * shows that the other has not confirmed. That is safe, for its operator has compared the words; pairing again mends it.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../domain/clock.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { type PairingMessage, pairingHash, STANDINGS, type Standing } from '../trust/pairing-message.js';
import { assertSameWords, pairingWords } from '../trust/pairing-words.js';
import type { PeerCard } from '../trust/peer-card.js';

export interface PairingSessionParts {
  /** Pins the other side, durably. @throws PAIRING_FAILED, SPOOL_WRITE_FAILED */
  adopt(card: PeerCard, words: string): Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** What both sides have said, once both have. */
interface Exchanged {
  readonly card: PeerCard;
  /** Names the pairing. */
  readonly hash: string;
  readonly words: string;
}

export type PairingPhase =
  | { readonly state: 'waiting' }
  | ({ readonly state: 'comparing'; readonly mine: Standing; readonly theirs: Standing } & Exchanged)
  /** We have pinned them; `confirmed` when they have said the same of us. */
  | ({
      readonly state: 'paired';
      readonly confirmed: boolean;
      readonly ended: boolean;
      readonly atMs: number;
    } & Exchanged)
  | { readonly state: 'failed'; readonly error: GatewayError };

export class PairingSession {
  readonly id = randomUUID();
  readonly endsAtMs: number;
  readonly #parts: PairingSessionParts;
  #exchanged: Exchanged | undefined;
  #mine: Standing = 'undecided';
  #theirs: Standing = 'undecided';
  #error: GatewayError | undefined;
  #pinning: Promise<void> | undefined;
  #pinnedAtMs = 0;

  /** @param lifeMs how long both operators have */
  constructor(parts: PairingSessionParts, lifeMs: number) {
    this.#parts = parts;
    this.endsAtMs = parts.clock.now() + lifeMs;
  }

  /** Where it stands now; time may have ended it. */
  phase(): PairingPhase {
    this.#expire();
    if (this.#error !== undefined) return { state: 'failed', error: this.#error };
    if (this.#exchanged === undefined) return { state: 'waiting' };
    if (this.#mine !== 'pinned') {
      return { state: 'comparing', mine: this.#mine, theirs: this.#theirs, ...this.#exchanged };
    }
    const confirmed = this.#theirs === 'pinned';
    const ended = confirmed || this.#theirs === 'refused' || this.#isOver();
    return { state: 'paired', confirmed, ended, atMs: this.#pinnedAtMs, ...this.#exchanged };
  }

  /** Names the pairing, once both messages are there. */
  get pairing(): string | undefined {
    return this.#exchanged?.hash;
  }

  /** How far we are, for the other side. */
  get standing(): Standing {
    return this.phase().state === 'failed' ? 'refused' : this.#mine;
  }

  /** Both messages are there: makes the words. @param card of the other side */
  async compare(request: PairingMessage, answer: PairingMessage, card: PeerCard): Promise<void> {
    const words = await pairingWords({
      request: request.jws,
      answer: answer.jws,
      requestNonce: request.nonce,
      answerNonce: answer.nonce,
    });
    this.#exchanged = { card, hash: pairingHash(request, answer), words };
  }

  /**
   * Our operator says that both screens show these words.
   * @throws STATE_INVALID when there is nothing to compare; PAIRING_FAILED when they are other words, which ends it
   */
  async agree(words: string): Promise<void> {
    const phase = this.phase();
    if (phase.state === 'failed') throw phase.error;
    if (phase.state !== 'comparing') throw new GatewayError('STATE_INVALID', 'there are no words to compare');
    try {
      assertSameWords(phase.words, words);
    } catch (error) {
      this.fail(toGatewayError(error));
      throw error;
    }
    if (this.#mine === 'undecided') this.#mine = 'agreed';
    await this.#pinWhenBothAgree();
  }

  /** Our operator says no. @throws STATE_INVALID after a yes, which may have reached the other side */
  refuse(): void {
    if (this.#mine !== 'undecided') {
      throw new GatewayError('STATE_INVALID', 'this side has agreed already; it ends by itself');
    }
    this.fail(new GatewayError('PAIRING_FAILED', 'the operator of this side said no'));
  }

  /** The other side says how far it is; older news than what is known changes nothing. */
  async hear(theirs: Standing): Promise<void> {
    const { state } = this.phase();
    if (state !== 'comparing' && state !== 'paired') return;
    if (theirs === 'refused') {
      this.#theirs = theirs;
      this.fail(
        new GatewayError('PAIRING_FAILED', 'the other side has ended the pairing; its screen says why'),
      );
      return;
    }
    if (STANDINGS.indexOf(theirs) > STANDINGS.indexOf(this.#theirs)) this.#theirs = theirs;
    await this.#pinWhenBothAgree();
  }

  /** Ends it; what is pinned already stays. */
  fail(error: GatewayError): void {
    if (this.#error !== undefined || this.#pinning !== undefined) return;
    this.#error = error;
    this.#parts.log.warn({ event: 'pairing.failed', code: error.code }, error.message);
  }

  async #pinWhenBothAgree(): Promise<void> {
    if (this.#exchanged === undefined || !isYes(this.#mine) || !isYes(this.#theirs)) return;
    this.#pinning ??= this.#pin(this.#exchanged);
    await this.#pinning;
  }

  async #pin({ card, words }: Exchanged): Promise<void> {
    try {
      await this.#parts.adopt(card, words);
      this.#mine = 'pinned';
      this.#pinnedAtMs = this.#parts.clock.now();
      this.#parts.log.info({ event: 'pairing.pinned', peer: card.id });
    } catch (error) {
      this.#error = toGatewayError(error);
      throw error;
    }
  }

  #isOver(): boolean {
    return this.#parts.clock.now() >= this.endsAtMs;
  }

  #expire(): void {
    if (!this.#isOver() || this.#error !== undefined || this.#pinning !== undefined) return;
    this.fail(new GatewayError('PAIRING_FAILED', this.#lateness()));
  }

  #lateness(): string {
    if (this.#exchanged === undefined) return 'the time is over, and nobody has come to pair';
    return this.#mine === 'undecided'
      ? 'the time is over, and nobody here has confirmed the words'
      : 'the time is over, and the other side has not confirmed the words';
  }
}

function isYes(standing: Standing): boolean {
  return standing === 'agreed' || standing === 'pinned';
}

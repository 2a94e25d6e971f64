/** The presentation contexts of an association that we open: what was proposed, and what the PACS said to it. */
import type { GatewayError } from '../errors/gateway-error.js';
import { classifyContext } from './classify.js';
import type { ProposedContext, ScuLibrary } from './scu-library.js';

const ACCEPTED = 0;

export interface AgreedContext {
  readonly id: number;
  readonly transferSyntaxUid: string;
}

export class ScuContexts {
  readonly #proposed: readonly ProposedContext[];
  readonly #library: ScuLibrary;
  readonly #ids: ReadonlyMap<string, number>;

  /** @param proposed their ids are 1, 3, 5, … in this order */
  constructor(proposed: readonly ProposedContext[], library: ScuLibrary) {
    this.#proposed = proposed;
    this.#library = library;
    this.#ids = new Map(proposed.map((context, at) => [keyOf(context), 2 * at + 1]));
  }

  /** Of a context that was proposed; 0, which none has, for any other. */
  idOf(context: ProposedContext): number {
    return this.#ids.get(keyOf(context)) ?? 0;
  }

  /** What was proposed by this id. */
  byId(id: number): ProposedContext | undefined {
    return this.#proposed[(id - 1) / 2];
  }

  /** Why a context cannot be used; undefined when it can. Only after the association was accepted. */
  refusal(context: ProposedContext): GatewayError | undefined {
    const { sopClassUid, transferSyntaxUid } = context;
    const id = this.idOf(context);
    const answer = id === 0 ? undefined : this.#library.contextAnswer(id);
    if (answer?.result === ACCEPTED && answer.transferSyntaxUid === transferSyntaxUid) return undefined;
    return classifyContext(answer?.result || undefined, sopClassUid, transferSyntaxUid);
  }

  /** Those of a class that were accepted, in the order of the proposal. */
  accepted(sopClassUid: string): readonly AgreedContext[] {
    return this.#proposed
      .filter((context) => context.sopClassUid === sopClassUid && this.refusal(context) === undefined)
      .map((context) => ({ id: this.idOf(context), transferSyntaxUid: context.transferSyntaxUid }));
  }
}

/** The same for the same pair, and only for it. */
export function keyOf({ sopClassUid, transferSyntaxUid }: ProposedContext): string {
  return `${sopClassUid}|${transferSyntaxUid}`;
}

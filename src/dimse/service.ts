/**
 * What an association asks of a service other than C-STORE and C-ECHO, such as storage commitment: whole messages in,
 * whole messages out, in either direction (PS3.7 §9, §10). The types stand here, on the side that calls; compose hands
 * the services in.
 */
import type { CommandSet } from './command-set.js';
import type { AssociationInfo } from './store-scp.js';

/** A request that came in, with its data set in memory: bounded by the service's `maxDataSetBytes`. */
export interface ServiceRequest {
  readonly contextId: number;
  /** Of the presentation context. */
  readonly sopClassUid: string;
  /** Of the presentation context; the data set is in it. */
  readonly transferSyntaxUid: string;
  readonly command: CommandSet;
  readonly dataSet?: Buffer;
}

/** What answers a request: the elements that make the response besides those that every response repeats. */
export interface ServiceReply {
  readonly status: number;
  /** Error Comment (0000,0902); at most 64 characters are sent. */
  readonly comment?: string;
}

/** A request of ours: N-ACTION or N-EVENT-REPORT. */
export interface OwnRequest {
  readonly sopClassUid: string;
  /** The command field (PS3.7 §E.1), e.g. 0x0130. */
  readonly commandField: number;
  readonly sopInstanceUid: string;
  /** Action Type ID (0000,1008) or Event Type ID (0000,1002). */
  readonly typeId: number;
  /** Encodes the data set, in the transfer syntax of the context. */
  readonly dataSet: (transferSyntaxUid: string) => Buffer;
}

/** The other end of an open association, for a service that has something to say to it by itself. */
export interface ServicePeer {
  /** Absent on an association that we opened. */
  readonly association?: AssociationInfo;
  /** Aborted when the association is over. */
  readonly signal: AbortSignal;
  /**
   * Sends a request, and resolves with the response.
   * @throws CONTEXT_UNSUPPORTED without a fitting presentation context; PACS_UNREACHABLE when the association ends first
   */
  invoke(request: OwnRequest): Promise<CommandSet>;
}

export interface AssociationService {
  /** SOP classes of the presentation contexts whose requests it takes. */
  readonly sopClassUids: readonly string[];
  /** A request with a larger data set is refused with 0x0213 (Resource limitation). */
  readonly maxDataSetBytes: number;
  /** An association was accepted with a presentation context of these SOP classes; called once. Never throws. */
  opened?(peer: ServicePeer): void;
  /** Answers a request. What it throws is answered with 0x0110 (Processing failure). */
  serve(request: ServiceRequest, peer: ServicePeer): Promise<ServiceReply>;
}

/**
 * Requests that we send on an association that a peer has opened (PS3.7 §10.1.1, §10.1.4), such as the report of a storage
 * commitment: one at a time, as nothing else was negotiated for our side of it.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { type CommandSet, RESPONSE_BIT } from './command-set.js';
import { formatMessage } from './scu-message.js';
import { ownRequest } from './scu-requests.js';
import type { OwnRequest } from './service.js';

/** Message ids are of VR US; 0 is left out. */
const MAX_MESSAGE_ID = 0xffff;

export interface OwnRequests {
  /** @see ServicePeer.invoke */
  invoke(request: OwnRequest): Promise<CommandSet>;
  /** Takes a response. False: nothing that it could belong to was asked. */
  answered(response: CommandSet): boolean;
  /** The association is over: what was asked has no answer, and nothing is asked any more. */
  close(): void;
}

export interface OwnRequestsOptions {
  /** The accepted presentation context of a SOP class. */
  readonly contextOf: (
    sopClassUid: string,
  ) => { readonly id: number; readonly transferSyntaxUid: string } | undefined;
  /** Of the peer; 0 = no limit. */
  readonly maxPduBytes: number;
  readonly send: (bytes: Buffer) => void;
}

export function createOwnRequests({ contextOf, maxPduBytes, send }: OwnRequestsOptions): OwnRequests {
  let previous: Promise<unknown> = Promise.resolve();
  let lastMessageId = 0;
  let isClosed = false;
  let asked:
    | {
        readonly messageId: number;
        readonly commandField: number;
        resolve(response: CommandSet): void;
        reject(error: GatewayError): void;
      }
    | undefined;

  const ask = (request: OwnRequest): Promise<CommandSet> => {
    if (isClosed) return Promise.reject(ended());
    const context = contextOf(request.sopClassUid);
    if (context === undefined) {
      return Promise.reject(
        new GatewayError(
          'CONTEXT_UNSUPPORTED',
          'the association has no presentation context for this request',
        ),
      );
    }
    const { commandField } = request;
    const messageId = (lastMessageId % MAX_MESSAGE_ID) + 1;
    lastMessageId = messageId;
    const dataSet = request.dataSet(context.transferSyntaxUid);
    return new Promise((resolve, reject) => {
      asked = { messageId, commandField, resolve, reject };
      send(formatMessage(context.id, ownRequest(messageId, request), dataSet, maxPduBytes));
    });
  };

  return {
    invoke(request) {
      const answer = previous.then(() => ask(request));
      previous = answer.catch(() => undefined);
      return answer;
    },
    answered(response) {
      if (asked === undefined) return false;
      const { messageId, commandField, resolve } = asked;
      if (response.messageIdBeingRespondedTo !== messageId) return false;
      if (response.commandField !== (commandField | RESPONSE_BIT)) return false;
      asked = undefined;
      resolve(response);
      return true;
    },
    close() {
      isClosed = true;
      asked?.reject(ended());
      asked = undefined;
    },
  };
}

function ended(): GatewayError {
  return new GatewayError('PACS_UNREACHABLE', 'the association ended before the answer came');
}

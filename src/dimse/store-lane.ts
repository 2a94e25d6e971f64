/**
 * The lane that the data set of one C-STORE takes, past the library and straight to the handler's session. Whatever
 * goes wrong on the way, the data set is read to its end and the peer gets one answer.
 */
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { IncomingInstance, StoreHandler, StoreSession } from './store-scp.js';

export interface StoreLane {
  /** Takes bytes of the data set. A promise means: wait before the next ones. Never throws. */
  write(bytes: Buffer): Promise<void> | undefined;
  /** The data set is whole: commits. Resolves with the failure, or with undefined when it is durable. Never throws. */
  end(): Promise<GatewayError | undefined>;
  /** The association ended in the middle. Never throws. */
  discard(): Promise<void>;
  /** Bytes taken so far. */
  bytes(): number;
}

export function openStoreLane(
  handler: StoreHandler,
  instance: IncomingInstance,
  maxBytes: number,
): StoreLane {
  let session: StoreSession | undefined;
  let failure: GatewayError | undefined;
  let bytesTaken = 0;

  const fail = async (error: unknown): Promise<void> => {
    failure ??= toGatewayError(error);
    const broken = session;
    session = undefined;
    await broken?.discard().catch(() => undefined);
  };

  const beginning: Promise<void> = handler.begin(instance).then((begun) => {
    session = begun;
  }, fail);
  let begun = false;
  void beginning.then(() => {
    begun = true;
  });

  const pass = (bytes: Buffer): Promise<void> | undefined => {
    if (session === undefined) return undefined;
    try {
      const wait = session.write(bytes);
      return wait === undefined ? undefined : wait.catch(fail);
    } catch (error) {
      return fail(error);
    }
  };

  return {
    write(bytes) {
      bytesTaken += bytes.length;
      if (bytesTaken > maxBytes && failure === undefined) {
        const tooLarge = new GatewayError(
          'INSTANCE_TOO_LARGE',
          `the data set is larger than ${maxBytes} bytes`,
        );
        return beginning.then(() => fail(tooLarge));
      }
      return begun ? pass(bytes) : beginning.then(() => pass(bytes));
    },
    async end() {
      await beginning;
      if (session === undefined) return failure;
      try {
        await session.commit();
        return undefined;
      } catch (error) {
        return toGatewayError(error);
      }
    },
    async discard() {
      await beginning;
      await fail(new GatewayError('CANCELLED', 'the association ended within a data set'));
    },
    bytes: () => bytesTaken,
  };
}

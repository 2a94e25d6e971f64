/**
 * The lane that the data set of one C-STORE takes, straight to the handler's session. Whatever goes wrong on the way, the
 * data set is read to its end and the peer gets one answer.
 */
import { storeStatus } from '../dicom/store-status.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { Answer, DataSetLane } from './data-set-lane.js';
import type { IncomingInstance, StoreHandler, StoreSession } from './store-scp.js';

const SUCCESS: Answer = { status: 0x0000 };

/** @param maxBytes of the data set; of a larger one nothing is kept */
export function openStoreLane(
  handler: StoreHandler,
  instance: IncomingInstance,
  maxBytes: number,
  log: Log,
): DataSetLane {
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

  const refuse = (): Answer => {
    const { code, message } = failure ?? new GatewayError('FAULT', 'the instance has no session');
    const status = storeStatus(code);
    log.warn({ event: 'instance.refused', association: instance.association.id, code, status }, message);
    return { status, comment: message };
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
      if (session === undefined) return refuse();
      try {
        await session.commit();
        return SUCCESS;
      } catch (error) {
        failure = toGatewayError(error);
        return refuse();
      }
    },
    async discard() {
      await beginning;
      await fail(new GatewayError('CANCELLED', 'the association ended within a data set'));
    },
  };
}

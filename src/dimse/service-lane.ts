/**
 * The lane of a request to an association service: its data set is gathered in memory, up to the service's bound, and
 * the request handed over whole.
 */
import { toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { DataSetLane } from './data-set-lane.js';
import { GatheredBytes } from './gathered-bytes.js';
import type { AssociationService, ServicePeer, ServiceRequest } from './service.js';

/** PS3.7 Annex C. */
const PROCESSING_FAILURE = 0x0110;
const RESOURCE_LIMITATION = 0x0213;

export function openServiceLane(
  service: AssociationService,
  request: Omit<ServiceRequest, 'dataSet'>,
  peer: ServicePeer,
  log: Log,
): DataSetLane {
  const gathered = new GatheredBytes(service.maxDataSetBytes);
  let fits = true;

  return {
    write(bytes) {
      fits &&= gathered.add(bytes);
      return undefined;
    },
    async end() {
      const { maxDataSetBytes } = service;
      if (!fits) return { status: RESOURCE_LIMITATION, comment: `more than ${maxDataSetBytes} bytes` };
      try {
        const { hasDataSet } = request.command;
        return await service.serve(hasDataSet ? { ...request, dataSet: gathered.whole() } : request, peer);
      } catch (error) {
        const { code, message } = toGatewayError(error);
        log.error({ event: 'request.failed', association: peer.association?.id, code }, message);
        return { status: PROCESSING_FAILURE };
      }
    },
    discard: () => Promise.resolve(),
  };
}

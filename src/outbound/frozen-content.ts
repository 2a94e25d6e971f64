/** What a delivery carries, fixed when it was opened: in documents beside its record. */
import type { Attachment } from '../domain/attachment.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Instance } from '../domain/instance.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { OutboundParts } from './parts.js';

export const INSTANCES_DOCUMENT = 'instances.json';
const ATTACHMENTS_DOCUMENT = 'attachments.json';

/** What travels together. */
export interface FrozenContent {
  readonly instances: readonly Instance[];
  readonly attachments: readonly Attachment[];
}

type Deliveries = Pick<OutboundParts, 'deliveries'>;

/** Before the record that promises to carry it. */
export async function writeFrozenContent(
  { deliveries }: Deliveries,
  id: EnvelopeId,
  { instances, attachments }: FrozenContent,
): Promise<void> {
  const write = (name: string, value: unknown) =>
    deliveries.writeDocument(id, name, `${JSON.stringify(value)}\n`);
  await write(INSTANCES_DOCUMENT, instances);
  if (attachments.length > 0) await write(ATTACHMENTS_DOCUMENT, attachments);
}

/** The instances of a delivery. @throws FAULT when their list is missing */
export async function readFrozenList(parts: Deliveries, id: EnvelopeId): Promise<readonly Instance[]> {
  const bytes = await parts.deliveries.readDocument(id, INSTANCES_DOCUMENT);
  if (bytes === undefined) throw new GatewayError('FAULT', 'the frozen list of this delivery is missing');
  return JSON.parse(bytes.toString('utf8')) as readonly Instance[];
}

/** All that a delivery carries. @throws FAULT when the list of its instances is missing */
export async function readFrozenContent(parts: Deliveries, id: EnvelopeId): Promise<FrozenContent> {
  const attachments = await parts.deliveries.readDocument(id, ATTACHMENTS_DOCUMENT);
  return {
    instances: await readFrozenList(parts, id),
    attachments:
      attachments === undefined ? [] : (JSON.parse(attachments.toString('utf8')) as readonly Attachment[]),
  };
}

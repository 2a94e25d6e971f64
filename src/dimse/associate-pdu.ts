/**
 * The frame of A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.8 §9.3.2, §9.3.3): fixed fields, then items of type and length.
 * Lengths are believed only as far as the bytes reach; what the items mean is read elsewhere.
 */
import { withoutPadding } from '../domain/uid.js';
import { GatewayError } from '../errors/gateway-error.js';

export const ASSOCIATE_ITEMS = {
  applicationContext: 0x10,
  proposedContext: 0x20,
  contextResult: 0x21,
  abstractSyntax: 0x30,
  transferSyntax: 0x40,
  userInformation: 0x50,
} as const;

export interface AssociateItem {
  readonly type: number;
  /** What stands after the item's header. */
  readonly bytes: Buffer;
}

/** Type, reserved byte, 2-byte length. */
const ITEM_HEADER_BYTES = 4;
/** PDU header, protocol version, reserved bytes, two AE titles, 32 reserved bytes. */
const FIXED_BYTES = 74;
const LENGTH_AT = 2;
const VERSION_AT = 6;
const MAX_ITEM_BYTES = 0xffff;

export interface AssociatePdu {
  /** One bit for each version that the peer speaks; bit 0 is the only one that there is. */
  readonly protocolVersion: number;
  /** In the order of the PDU. */
  readonly items: readonly AssociateItem[];
}

/** Cuts a whole A-ASSOCIATE PDU, header included. @throws PDU_TOO_LARGE when an item does not fit */
export function readAssociatePdu(pdu: Buffer): AssociatePdu {
  if (pdu.length < FIXED_BYTES) throw brokenItem('the fixed fields are cut off');
  return {
    protocolVersion: pdu.readUInt16BE(VERSION_AT),
    items: readItems(pdu.subarray(FIXED_BYTES)),
  };
}

/** @throws PDU_TOO_LARGE when the last item is cut off */
export function readItems(bytes: Buffer): readonly AssociateItem[] {
  const items: AssociateItem[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + ITEM_HEADER_BYTES > bytes.length) throw brokenItem('an item is cut off');
    const type = bytes.readUInt8(at);
    const start = at + ITEM_HEADER_BYTES;
    const length = bytes.readUInt16BE(at + 2);
    if (start + length > bytes.length) {
      throw brokenItem(
        `item ${hex(type)} announces ${length} bytes, expected at most ${bytes.length - start}`,
      );
    }
    items.push({ type, bytes: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return items;
}

/** The same PDU with other items. */
export function replaceItems(pdu: Buffer, items: readonly AssociateItem[]): Buffer {
  const whole = Buffer.concat([pdu.subarray(0, FIXED_BYTES), ...items.map(formatItem)]);
  whole.writeUInt32BE(whole.length - 6, LENGTH_AT);
  return whole;
}

/** @throws REQUEST_INVALID when it is longer than an item can be */
export function formatItem({ type, bytes }: AssociateItem): Buffer {
  if (bytes.length > MAX_ITEM_BYTES) {
    throw new GatewayError(
      'REQUEST_INVALID',
      `item ${hex(type)} would have ${bytes.length} bytes, expected at most ${MAX_ITEM_BYTES}`,
    );
  }
  const header = Buffer.from([type, 0, 0, 0]);
  header.writeUInt16BE(bytes.length, 2);
  return Buffer.concat([header, bytes]);
}

/** A UID as it stands in an item; some pad it as they would in a data set. */
export function readUid(bytes: Buffer): string {
  return withoutPadding(bytes.toString('latin1'));
}

export function brokenItem(what: string): GatewayError {
  return new GatewayError('PDU_TOO_LARGE', `the A-ASSOCIATE PDU cannot be read: ${what}`);
}

/** As the standard writes item types. */
export function hex(type: number): string {
  return `${type.toString(16).toUpperCase().padStart(2, '0')}H`;
}

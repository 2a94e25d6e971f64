/** A-ASSOCIATE PDUs made of whatever items a test wants. */

const FIXED = Buffer.concat([
  Buffer.from([0, 1, 0, 0]),
  Buffer.from('DRAWBRIDGE'.padEnd(16)),
  Buffer.from('CT1'.padEnd(16)),
  Buffer.alloc(32),
]);
const DICOM = '1.2.840.10008.3.1.1.1';

export function item(type: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const header = Buffer.from([type, 0, 0, 0]);
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
}

/** An A-ASSOCIATE-RQ of these items after its application context. */
export function associatePdu(items: readonly Buffer[], applicationContext = DICOM): Buffer {
  const body = Buffer.concat([FIXED, item(0x10, Buffer.from(applicationContext)), ...items]);
  const header = Buffer.from([1, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

/** With nothing but user information. */
export function userInformation(...subItems: readonly Buffer[]): Buffer {
  return associatePdu([item(0x50, ...subItems)]);
}

export function proposedContext(
  id: number,
  abstractSyntax: string,
  transferSyntaxes: readonly string[],
): Buffer {
  return item(
    0x20,
    Buffer.from([id, 0, 0, 0]),
    item(0x30, Buffer.from(abstractSyntax)),
    ...transferSyntaxes.map((uid) => item(0x40, Buffer.from(uid))),
  );
}

/**
 * One record of the reception log: a block that says what it is, and the bytes of an instance in whole blocks behind it.
 * Checksums tell a record that was written whole from one that a power cut tore; the epoch, drawn for each use of a
 * segment, tells it from what an earlier use left behind it. Plain JavaScript, because the thread that writes completes it.
 *
 *     0  magic    8  epoch, 16 bytes    24  bytes of data    28  bytes of text    32  CRC-32 of the data
 *     36  CRC-32 of what stands before and of the text    40  text: JSON
 */
import { crc32 } from 'node:zlib';
import { BLOCK_BYTES, inWholeBlocks } from '../disk/uncached.mjs';

const MAGIC = Buffer.from('DRBRLOG\x01', 'latin1');
const EPOCH_AT = 8;
export const EPOCH_BYTES = 16;
const DATA_BYTES_AT = 24;
const TEXT_BYTES_AT = 28;
const DATA_CRC_AT = 32;
const HEADER_CRC_AT = 36;
const TEXT_AT = 40;
const MAX_TEXT_BYTES = BLOCK_BYTES - TEXT_AT;

/** @param {number} dataBytes @returns {number} of the whole record */
export function recordBytes(dataBytes) {
  return BLOCK_BYTES + inWholeBlocks(dataBytes);
}

/**
 * All of the first block but the checksums.
 * @param {Buffer} record begins with the block; the data stands behind it
 * @param {Buffer} epoch
 * @param {Buffer} text
 * @param {number} dataBytes
 * @throws RangeError for a text that does not fit into the block
 */
export function beginRecord(record, epoch, text, dataBytes) {
  if (text.length > MAX_TEXT_BYTES) throw new RangeError(`a record says at most ${MAX_TEXT_BYTES} bytes`);
  MAGIC.copy(record);
  epoch.copy(record, EPOCH_AT);
  record.writeUInt32LE(dataBytes, DATA_BYTES_AT);
  record.writeUInt32LE(text.length, TEXT_BYTES_AT);
  text.copy(record, TEXT_AT);
}

/** The checksums, and zeros up to the next block. @param {Buffer} record with its data */
export function completeRecord(record) {
  const dataBytes = record.readUInt32LE(DATA_BYTES_AT);
  const data = record.subarray(BLOCK_BYTES, BLOCK_BYTES + dataBytes);
  record.fill(0, BLOCK_BYTES + dataBytes, recordBytes(dataBytes));
  record.writeUInt32LE(crc32(data), DATA_CRC_AT);
  record.writeUInt32LE(crcOfHeader(record), HEADER_CRC_AT);
}

/** CRC-32 of the data of a record that is complete. @param {Buffer} record @returns {number} */
export function dataCrcOf(record) {
  return record.readUInt32LE(DATA_CRC_AT);
}

/**
 * What a first block says; undefined when it is none.
 * @param {Buffer} block
 */
export function readRecordHead(block) {
  if (block.length < BLOCK_BYTES || !block.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (block.readUInt32LE(TEXT_BYTES_AT) > MAX_TEXT_BYTES) return undefined;
  if (block.readUInt32LE(HEADER_CRC_AT) !== crcOfHeader(block)) return undefined;
  return {
    epoch: block.toString('hex', EPOCH_AT, EPOCH_AT + EPOCH_BYTES),
    dataBytes: block.readUInt32LE(DATA_BYTES_AT),
    dataCrc: dataCrcOf(block),
    text: block.toString('utf8', TEXT_AT, TEXT_AT + block.readUInt32LE(TEXT_BYTES_AT)),
  };
}

/** @param {Buffer} block */
function crcOfHeader(block) {
  const textEnd = TEXT_AT + block.readUInt32LE(TEXT_BYTES_AT);
  return crc32(block.subarray(TEXT_AT, textEnd), crc32(block.subarray(0, HEADER_CRC_AT)));
}

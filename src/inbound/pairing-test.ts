/** A payload that is no study but the test that follows a pairing: it ends here, and its sender gets a receipt. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PAIRING_TEST_FILE } from '../domain/pairing-test.js';
import { advanceReception, type Reception } from '../domain/reception.js';
import { isErrno } from '../spool/atomic.js';
import { discardFolder } from '../spool/envelope-store.js';
import type { InboundParts } from './parts.js';

/**
 * Commit point: the record says that it was a test. The folders go afterwards; what a crash leaves, the sweep finds.
 * @returns false when the payload is none
 */
export async function takePairingTest(parts: InboundParts, { id, senderId }: Reception): Promise<boolean> {
  const { layout, clock, log } = parts;
  if (!(await isPairingTest(layout.stagingOf(id)))) return false;
  await parts.receptions.update(id, (record) =>
    record.progress === 'opened' ? advanceReception(record, { type: 'tested' }, clock.now()) : record,
  );
  log.info({ event: 'pairing.test_received', reception: id, sender: senderId });
  await discardFolder(layout, layout.inboxEnvelope(id));
  await discardFolder(layout, layout.stagingOf(id));
  return true;
}

/** Whoever adds an instance to it has made a study of it. */
async function isPairingTest(folder: string): Promise<boolean> {
  const names = await namesIn(join(folder, dirname(PAIRING_TEST_FILE)));
  if (names.length !== 1 || names[0] !== basename(PAIRING_TEST_FILE)) return false;
  return (await namesIn(join(folder, 'dicom'))).length === 0;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** What waits in an inbox on the server, whose it is, and what becomes of it when it was taken. */
import type { EnvelopeId } from '../../domain/envelope-id.js';
import { GatewayError } from '../../errors/gateway-error.js';
import { archiveName, archiveNames, claimName, parseExchangeName, refusedName } from '../exchange-names.js';
import type { WaitingEnvelope } from '../transport.js';
import type { FtpsConnection } from './connection.js';
import { DONE_FOLDER } from './options.js';
import { listFiles, remove, rename, sizeOf } from './remote-files.js';

/** @param folder the inbox on the server, without a slash at its end */
export async function listEnvelopes(
  connection: FtpsConnection,
  folder: string,
  claimer: string,
): Promise<readonly WaitingEnvelope[]> {
  const found = (await listFiles(connection, folder)).flatMap(({ name, sizeBytes, modified }) => {
    const entry = parseExchangeName(name);
    const ours = entry?.state === 'waiting' || (entry?.state === 'claimed' && entry.claimer === claimer);
    return entry !== undefined && ours ? [{ id: entry.id, sizeBytes, modified, state: entry.state }] : [];
  });
  // One that was put again after it was claimed is there twice; the claim comes first.
  const claimed = new Set(found.filter(({ state }) => state === 'claimed').map(({ id }) => id));
  return found
    .filter(({ id, state }) => state === 'claimed' || !claimed.has(id))
    .sort((a, b) => a.modified - b.modified)
    .map(({ id, sizeBytes }) => ({ id, sizeBytes }));
}

/**
 * Makes an envelope ours: of two that try, the server renames it for one.
 * @returns its size in bytes
 * @throws ENVELOPE_NOT_FOUND, ENVELOPE_CLAIMED
 */
export async function claimEnvelope(
  connection: FtpsConnection,
  folder: string,
  id: EnvelopeId,
  claimer: string,
): Promise<number> {
  const claim = `${folder}/${claimName(id, claimer)}`;
  const already = await sizeOf(connection, claim);
  if (already !== undefined) return already;
  for (const name of archiveNames(id)) {
    await rename(connection, `${folder}/${name}`, claim);
    const sizeBytes = await sizeOf(connection, claim);
    if (sizeBytes !== undefined) return sizeBytes;
  }
  const files = await listFiles(connection, folder);
  const other = files.some(({ name }) => {
    const entry = parseExchangeName(name);
    return entry?.id === id && entry.state === 'claimed';
  });
  if (other) throw new GatewayError('ENVELOPE_CLAIMED', 'another bridge is taking the envelope');
  throw new GatewayError('ENVELOPE_NOT_FOUND', 'the envelope is not in the inbox any more');
}

export async function endClaim(
  connection: FtpsConnection,
  folder: string,
  claim: { readonly id: EnvelopeId; readonly claimer: string },
  outcome: 'delete' | 'move' | 'refused',
): Promise<void> {
  const claimed = `${folder}/${claimName(claim.id, claim.claimer)}`;
  if (outcome === 'refused') {
    await moveTo(connection, claimed, `${folder}/${refusedName(claim.id)}`);
  } else if (outcome === 'move') {
    await moveToDone(connection, claimed, `${folder}/${DONE_FOLDER}`, archiveName(claim.id));
  } else {
    await remove(connection, claimed);
  }
}

async function moveToDone(connection: FtpsConnection, claimed: string, done: string, name: string) {
  if ((await sizeOf(connection, claimed)) === undefined) return;
  // That it is there already is the usual answer; that it may not be made shows in the renaming.
  await connection.ask(`MKD ${done}`);
  await moveTo(connection, claimed, `${done}/${name}`);
}

/** Some servers rename over what is there, some do not: an older one makes way, it was the same envelope. */
async function moveTo(connection: FtpsConnection, from: string, to: string): Promise<void> {
  if ((await sizeOf(connection, from)) === undefined) return;
  if ((await sizeOf(connection, to)) !== undefined) await remove(connection, to);
  await rename(connection, from, to);
}

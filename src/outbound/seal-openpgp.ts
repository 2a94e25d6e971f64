/** The envelope of a study for a partner with OpenPGP: `sealed/<id>.JMIX` with the message and copies of its documents. */
import type { Peer } from '../domain/peer.js';
import { OPENPGP_MESSAGE } from '../jmix/envelope-names.js';
import type { PlainEnvelopeRequest } from '../jmix/plain-envelope.js';
import { sealMessage } from '../openpgp/seal-message.js';
import { type CommitFolder, growSealedFolder } from '../spool/sealed-envelope.js';
import type { OutboundParts } from './parts.js';

/** @throws PEER_REFUSED when a key of the peer is missing or cannot be used; OPENPGP_UNAVAILABLE, KEY_LOCKED, and as `sealStudy` */
export async function sealForOpenpgp(
  { layout, openpgp }: OutboundParts,
  { id, name, contact, openpgpFingerprints = [] }: Peer,
  contents: Omit<PlainEnvelopeRequest, 'archiveSink' | 'receivers'>,
  commit?: CommitFolder,
): Promise<void> {
  const receivers = [{ id, name, contact }];
  await growSealedFolder(
    layout,
    contents.id,
    OPENPGP_MESSAGE,
    (messageSink) =>
      sealMessage(openpgp, { ...contents, receivers, fingerprints: openpgpFingerprints, messageSink }),
    commit,
  );
}

/**
 * The envelope of one draft for its recipients: instances and attachments from the spool, each proved while it passes to
 * have the very bytes that were acknowledged to whoever brought them. Commit point: the rename to `sealed/<id>.JMIX`,
 * which happens once for each id: two runs that seal side by side end up with one envelope, whoever's it is.
 */
import { createHash } from 'node:crypto';
import type { Attachment } from '../domain/attachment.js';
import type { Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Instance } from '../domain/instance.js';
import type { Peer } from '../domain/peer.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { EnvelopeExtensions } from '../jmix/extensions.js';
import type { Proof } from '../jmix/payload-files.js';
import type { Recipient } from '../jmix/recipients.js';
import type { PayloadFile } from '../jmix/seal.js';
import { isErrno } from '../spool/atomic.js';
import { fileSize, readBuffer, readBytesFrom } from '../spool/instance-file.js';
import { type LoggedFile, loggedBytes } from '../spool/logged-file.js';
import { type CommitFolder, sealToFolder } from '../spool/sealed-envelope.js';
import type { Draft } from './pack.js';
import { pairingTestFile } from './pairing-test.js';
import type { OutboundParts } from './parts.js';
import { sealForOpenpgp } from './seal-openpgp.js';

export interface SealOptions {
  /** Gives the sealed folder its name, once and for ever. */
  readonly commit?: CommitFolder;
  readonly unfiled?: UnfiledInstances;
}

/** Instances that are sealed from where the reception log has them, before it is known what they must be. */
export interface UnfiledInstances {
  /** By the names that their files will have. */
  readonly files: ReadonlyMap<string, LoggedFile>;
  /** Told the SHA-256 of what was sealed as the data set of each; whether that is right is the caller's to find out. */
  sealed(instance: Instance, sha256: string): void;
}

/**
 * @param id of the envelope
 * @param peers at least one, all of the same dialect
 * @throws SPOOL_CORRUPT, SPOOL_WRITE_FAILED, PEER_REFUSED when a peer has no encryption key, PEER_BUSY when
 *   the directory may still tell it, and what sealing throws
 */
export async function sealStudy(
  parts: OutboundParts,
  id: EnvelopeId,
  peers: readonly Peer[],
  delivery: Delivery,
  draft: Draft,
  signal: AbortSignal,
  { commit, unfiled }: SealOptions = {},
): Promise<void> {
  const files: PayloadFile[] = [];
  // Sealing is done with each piece before it asks for the next; gpg may keep what it was given.
  const into = peers[0]?.seal === 'openpgp' ? undefined : readBuffer();
  for (const instance of draft.instances) {
    const path = parts.layout.instance(delivery.studyKey, instance.sopInstanceUid);
    const logged = unfiled?.files.get(path);
    files.push(
      logged === undefined || unfiled === undefined
        ? await instanceFile(path, instance, into)
        : loggedInstance(logged, instance, unfiled),
    );
  }
  for (const attachment of draft.attachments) {
    files.push(
      await attachmentFile(parts.layout.attachment(delivery.studyKey, attachment.sha256), attachment),
    );
  }
  if (delivery.purpose === 'pairing-test') files.push(pairingTestFile(parts.site.id, delivery.peerId));
  const nowMs = parts.clock.now();
  const attestation = parts.attestation();
  const contents = {
    id,
    createdAtMs: nowMs,
    sender: parts.site,
    ...(delivery.classification === undefined ? {} : { classification: delivery.classification }),
    extensions: { ...delivery.extensions, ...ownExtension(parts, peers) },
    // In the sealed part, not in the manifest: it is nobody's business on the way which envelopes belong together.
    metadata: { ...draft.metadata, extensions: { drawbridge: sealedExtension(delivery) } },
    files,
    signingKey: parts.keys.signing.privateKey,
    ...(parts.assertionMs === undefined ? {} : { assertionExpiresAtMs: nowMs + parts.assertionMs }),
    ...(attestation === undefined ? {} : { attestation }),
    signal,
  };
  const [peer] = peers;
  // Such a peer shares no envelope.
  if (peer?.seal === 'openpgp') return sealForOpenpgp(parts, peer, contents, commit);
  const recipients = peers.map(recipientOf);
  await sealToFolder(parts.layout, { ...contents, dialect: peer?.dialect ?? 'canon', recipients }, commit);
}

function recipientOf({ id, name, contact, encryptionKey, directory }: Peer): Recipient {
  if (encryptionKey === undefined) {
    throw directory === true
      ? new GatewayError('PEER_BUSY', `the directory has not told the keys of ${id} yet`)
      : new GatewayError('PEER_REFUSED', `no key of ${id} counts: pair again, or correct peers`);
  }
  return { entity: { id, name, contact }, key: encryptionKey };
}

/** Word of new keys, for those whose software can take it. */
function ownExtension({ keys }: OutboundParts, peers: readonly Peer[]): EnvelopeExtensions {
  const isOurKind = peers.every(({ dialect }) => (dialect ?? 'canon') === 'canon');
  return isOurKind ? { drawbridge: { announcements: keys.announcements } } : {};
}

function sealedExtension({ priority, addendumTo }: Delivery): Readonly<Record<string, string>> {
  return {
    priority: priority ?? 'routine',
    ...(addendumTo === undefined ? {} : { addendum_to: addendumTo }),
  };
}

async function instanceFile(
  path: string,
  instance: Instance,
  into: Buffer | undefined,
): Promise<PayloadFile> {
  const sizeBytes = await fileSize(path);
  const proof = { offset: dataSetOffset(instance, sizeBytes), holds: isSha256(instance.sha256) };
  return {
    name: nameOf(instance),
    sizeBytes,
    open: () => proved(readBytesFrom(path, 0, into), proof, 'instance'),
    stored: { from: path, proof },
  };
}

function loggedInstance(file: LoggedFile, instance: Instance, { sealed }: UnfiledInstances): PayloadFile {
  const { sizeBytes, pieces } = file;
  const holds = (sha256: string) => {
    sealed(instance, sha256);
    return true;
  };
  const proof = { offset: dataSetOffset(instance, sizeBytes), holds };
  return {
    name: nameOf(instance),
    sizeBytes,
    open: () => proved(loggedBytes(file), proof, 'instance'),
    stored: { from: pieces, proof },
  };
}

function nameOf({ sopInstanceUid }: Instance): string {
  return `dicom/${sopInstanceUid}.dcm`;
}

/** In front of the data set stands the Part 10 header. One of another length would show in the hash. */
function dataSetOffset({ dataSetBytes }: Instance, sizeBytes: number): number {
  const offset = sizeBytes - dataSetBytes;
  if (offset <= 0) throw corrupt('instance');
  return offset;
}

async function attachmentFile(path: string, { name, sizeBytes, sha256 }: Attachment): Promise<PayloadFile> {
  const size = await fileSize(path).catch((error: unknown) => {
    throw isErrno(error, 'ENOENT') ? corrupt('attachment') : error;
  });
  if (size !== sizeBytes) throw corrupt('attachment');
  const proof = { offset: 0, holds: isSha256(sha256) };
  return {
    name,
    sizeBytes,
    open: () => proved(readBytesFrom(path, 0), proof, 'attachment'),
    stored: { from: path, proof },
  };
}

function isSha256(acknowledged: string): (found: string) => boolean {
  return (found) => found === acknowledged;
}

/** The file's bytes; fails at the end if those from `offset` on are not the ones that were acknowledged. */
async function* proved(
  bytes: AsyncIterable<Buffer>,
  { offset, holds }: Proof,
  what: 'instance' | 'attachment',
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let position = 0;
  for await (const chunk of bytes) {
    const skip = Math.max(0, offset - position);
    if (skip < chunk.length) hash.update(skip === 0 ? chunk : chunk.subarray(skip));
    position += chunk.length;
    yield chunk;
  }
  if (!holds(hash.digest('hex'))) throw corrupt(what);
}

function corrupt(what: 'instance' | 'attachment'): GatewayError {
  return new GatewayError('SPOOL_CORRUPT', `a stored ${what} no longer has the bytes that were acknowledged`);
}

/**
 * A receipt on its way to a sender that cannot be called: in an envelope of its own, sealed and signed like any other,
 * so that whoever passes it on can neither read which instances it names nor tell it from a study. For a receipt no
 * receipt is owed.
 *
 * One exception: where an envelope could not be opened, the keys of two sites may be at odds, and the letter that says so
 * cannot be opened either. It says openly that it wants no answer, or the two would refuse each other's refusals forever.
 */
import type { KeyObject } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type EnvelopeId, isEnvelopeId } from '../domain/envelope-id.js';
import type { Peer } from '../domain/peer.js';
import { GatewayError } from '../errors/gateway-error.js';
import { sha256Hex } from '../jmix/digest.js';
import { OPENPGP_MESSAGE } from '../jmix/envelope-names.js';
import { readManifest } from '../jmix/manifest.js';
import { sealMessage } from '../openpgp/seal-message.js';
import { isErrno } from '../spool/atomic.js';
import { discardFolder } from '../spool/envelope-store.js';
import {
  derivedId,
  findSealed,
  growSealedFolder,
  outerIdOf,
  readSealed,
  sealAround,
  sealToFolder,
  type Travelling,
} from '../spool/sealed-envelope.js';
import type { InboundParts } from './parts.js';

/** In the payload: `files/<id of the delivery>.receipt.jws`. */
const FOLDER = 'files';
const ENDING = '.receipt.jws';
/** In `manifest.extensions.drawbridge`. */
const NO_ANSWER = 'no_answer';

/** What is put into a letter. */
export interface Mail {
  /** Of the envelope that the receipt is for. */
  readonly id: EnvelopeId;
  readonly receipt: Buffer;
  /** That envelope could not be opened. */
  readonly unopened?: boolean;
  /** How often the receipt has been asked for again: each answer is an envelope of its own. */
  readonly reminders?: number;
}

/**
 * Puts a receipt where its peer takes envelopes. Safe to repeat: a letter that was sealed before goes out as it is, and
 * stays until `discardLetter`.
 * @throws PEER_REFUSED when the peer has no encryption key, and what sealing and putting throw
 */
export async function mailReceipt(
  parts: InboundParts,
  peer: Peer,
  mail: Mail,
  signal: AbortSignal,
): Promise<void> {
  const letterId = letterOf(mail);
  const letter =
    (await findSealed(parts.layout, letterId)) ?? (await sealLetter(parts, peer, letterId, mail));
  const travelling = (await sealForHub(parts, peer, letterId, signal)) ?? letter;
  const pace = parts.lines.paceTo(peer.id);
  await parts.lines
    .outboxTo(peer.id)
    .put(
      { ...travelling, folder: parts.layout.sealedEnvelope(travelling.id) },
      { signal, ...(pace === undefined ? {} : { pace }) },
    );
}

/** Forgets a letter; only when the record says that it was mailed, for a new one would be another envelope. */
export async function discardLetter(parts: InboundParts, mail: Mail): Promise<void> {
  const id = letterOf(mail);
  for (const each of [id, outerIdOf(id, 0)]) {
    await discardFolder(parts.layout, parts.layout.sealedEnvelope(each));
  }
}

/** Whether an envelope says of itself that it is not to be answered. @param manifest its manifest.json */
export function wantsNoAnswer(manifest: Buffer): boolean {
  const ours = readManifest(manifest).extensions['drawbridge'];
  return typeof ours === 'object' && ours !== null && NO_ANSWER in ours && ours[NO_ANSWER] === true;
}

/** The receipt in an opened payload; undefined when the payload is a study. @param folder of the opened payload */
export async function findReceipt(
  folder: string,
): Promise<{ readonly id: EnvelopeId; readonly jws: Buffer } | undefined> {
  const names = await namesIn(join(folder, FOLDER));
  const [name, ...others] = names;
  const id = name?.endsWith(ENDING) === true ? name.slice(0, -ENDING.length) : undefined;
  if (name === undefined || others.length > 0 || !isEnvelopeId(id)) return undefined;
  if ((await namesIn(join(folder, 'dicom'))).length > 0) return undefined;
  return { id, jws: await readFile(join(folder, FOLDER, name)) };
}

function letterOf({ id, receipt, reminders = 0 }: Mail): EnvelopeId {
  return derivedId(id, `receipt ${sha256Hex(receipt)} ${reminders}`);
}

async function sealLetter(parts: InboundParts, peer: Peer, id: EnvelopeId, mail: Mail): Promise<Travelling> {
  const entity = { id: peer.id, name: peer.name, contact: peer.contact };
  const contents = {
    id,
    createdAtMs: parts.clock.now(),
    sender: parts.site,
    extensions: {
      drawbridge: {
        ...(mail.unopened === true ? { [NO_ANSWER]: true } : {}),
        announcements: parts.keys.announcements,
      },
    },
    // JMIX has no envelope without a patient; here there is none.
    metadata: { patient: { id: 'none' } },
    files: [
      {
        name: `${FOLDER}/${mail.id}${ENDING}`,
        sizeBytes: mail.receipt.length,
        async *open() {
          yield mail.receipt;
        },
      },
    ],
    signingKey: parts.keys.signing.privateKey,
  };
  await (peer.seal === 'openpgp'
    ? growSealedFolder(parts.layout, id, OPENPGP_MESSAGE, (messageSink) => {
        const fingerprints = peer.openpgpFingerprints ?? [];
        return sealMessage(parts.openpgp, { ...contents, receivers: [entity], fingerprints, messageSink });
      })
    : sealToFolder(parts.layout, { ...contents, recipients: [{ entity, key: encryptionKeyOf(peer) }] }));
  return readSealed(parts.layout, id);
}

function encryptionKeyOf({ id, encryptionKey }: Peer): KeyObject {
  if (encryptionKey !== undefined) return encryptionKey;
  throw new GatewayError('PEER_REFUSED', `no receipt can be sealed to ${id}: it has no encryptionKey`);
}

async function sealForHub(
  parts: InboundParts,
  peer: Peer,
  letterId: EnvelopeId,
  signal: AbortSignal,
): Promise<Travelling | undefined> {
  const hub = parts.hubTo(peer.id);
  if (hub === undefined) return undefined;
  return sealAround(parts.layout, letterId, 0, {
    createdAtMs: parts.clock.now(),
    sender: parts.site,
    recipients: [{ entity: { id: hub.id, name: hub.id, contact: 'unknown' }, key: hub.encryptionKey }],
    signingKey: parts.keys.signing.privateKey,
    signal,
  });
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

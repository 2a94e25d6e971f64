/**
 * deposit: an archive that a member brings → held for its receivers. Commit point: the parcel's record, written when
 * the envelope is durable under its name; only then may the sender hear 201. The hub looks at nothing of the manifest
 * but who it is from and whom it is for, and keeps nothing else of it than its hash.
 */
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { advanceParcel, type Box, isWanted, type Parcel } from '../domain/parcel.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { archiveSize, listEnvelope } from '../jmix/envelope-archive.js';
import { openEnvelopeFolder } from '../jmix/envelope-folder.js';
import { AUDIT_FILE } from '../jmix/envelope-names.js';
import { type Manifest, readManifest } from '../jmix/manifest.js';
import { classifyDiskError, writeFileDurably } from '../spool/atomic.js';
import { promoteFolder } from '../spool/envelope-store.js';
import { openScratch, type ScratchFolder } from '../spool/scratch.js';
import { withForwardedSteps } from './forwarded-step.js';
import type { HubParts } from './parts.js';
import { unpackSealed } from './unpack.js';

export interface Deposited {
  readonly id: EnvelopeId;
  /** False for the same envelope again. */
  readonly created: boolean;
}

/** An archive that has been taken apart, and of which nothing has been believed yet. */
export interface Unpacked {
  /** Checks the envelope and makes it wait for its receivers. @throws what `Deposit.put` throws */
  commit(from: Origin): Promise<Deposited>;
  /** Removes what was not committed. */
  discard(): Promise<void>;
}

export interface Origin {
  /** The member that brought it. */
  readonly memberId: string;
  /** The envelope came within another one; then it must have this id, and be for somebody else than the hub. */
  readonly nestedAs?: EnvelopeId;
}

export interface Deposit {
  /**
   * @throws ENVELOPE_MALFORMED (also when it is not sealed), MANIFEST_INVALID, ARCHIVE_UNSAFE, ENVELOPE_TOO_LARGE,
   *   NOT_AUTHORISED when it is in somebody else's name, RECIPIENT_MISMATCH, ENVELOPE_EXISTS, QUOTA_EXCEEDED,
   *   SPOOL_WRITE_FAILED, CANCELLED
   */
  put(memberId: string, body: Readable, signal: AbortSignal): Promise<Deposited>;
  /** The first half of `put`, for who knows only in the end whether the archive may be believed. */
  unpack(body: Readable, signal: AbortSignal): Promise<Unpacked>;
}

/** @param deposited called after each commit of something new */
export function createDeposit(parts: HubParts, deposited: (parcel: Parcel) => void): Deposit {
  const reserved = new Map<string, number>();

  const unpack = async (body: Readable, signal: AbortSignal): Promise<Unpacked> => {
    const folder = await openScratch(parts.layout, 'deposit');
    try {
      await unpackSealed(body, folder.path, parts.maxEnvelopeBytes, signal);
    } catch (error) {
      const told = await folder.judge(error);
      await folder.remove();
      throw told;
    }
    return {
      commit: (from) =>
        check(folder, from).catch(async (error: unknown) => {
          throw await folder.judge(error);
        }),
      discard: folder.remove,
    };
  };

  const check = async (folder: ScratchFolder, from: Origin): Promise<Deposited> => {
    const source = await openEnvelopeFolder(folder.path);
    const manifest = readManifest(source.manifest);
    assertSealed(source.payload.kind, manifest);
    const receiverIds = assertRouted(parts, manifest, from);
    const { id } = manifest;
    try {
      return await parts.parcels.alone(id, () => hold(folder, manifest, source.audit, receiverIds));
    } catch (error) {
      throw isGatewayError(error) ? error : classifyDiskError(error);
    }
  };

  const hold = async (
    folder: ScratchFolder,
    manifest: Manifest,
    trail: Buffer | undefined,
    receiverIds: readonly string[],
  ): Promise<Deposited> => {
    const { id } = manifest;
    const known = await parts.parcels.read(id);
    if (known !== undefined && known.manifestSha256 !== manifest.sha256) {
      throw new GatewayError('ENVELOPE_EXISTS', 'another envelope was deposited before under this id');
    }
    if (known !== undefined && !isWanted(known)) {
      await waitAgain(known);
      return { id, created: false };
    }
    const atMs = parts.clock.now();
    if (!receiverIds.includes(parts.site.id)) {
      await parts.keys.refresh();
      const steps = withForwardedSteps(trail, {
        subject: { envelopeId: id, manifestSha256: manifest.sha256 },
        by: parts.site,
        receiverIds,
        // The same time at every attempt makes the same archive.
        atMs: known?.receivedAtMs ?? atMs,
        signingKey: parts.keys.signing.privateKey,
        publicKey: parts.keys.signing.publicKey,
      });
      await writeFileDurably(join(folder.path, AUDIT_FILE), steps);
    }
    const archiveBytes = archiveSize(await listEnvelope(folder.path));
    await withRoom(receiverIds, archiveBytes, async () => {
      await promoteFolder(parts.layout, folder, parts.layout.heldEnvelope(id));
      const parcel =
        known === undefined
          ? await create({ manifest, receiverIds, archiveBytes, atMs })
          : await parts.parcels.update(id, (record) =>
              advanceParcel(record, { type: 'restored', archiveBytes }, atMs),
            );
      parts.log.info({
        event: known === undefined ? 'parcel.deposited' : 'parcel.restored',
        parcel: id,
        from: manifest.sender.id,
        to: receiverIds,
        bytes: archiveBytes,
      });
      deposited(parcel);
    });
    return { id, created: true };
  };

  /** Brought again after it was parked for want of a taker: then its sender still wants it delivered. */
  const waitAgain = async (known: Parcel): Promise<void> => {
    const isExpired = ({ removed, boxes }: Parcel) =>
      removed === undefined && Object.values(boxes).some(({ state }) => state === 'expired');
    if (!isExpired(known)) return;
    const parcel = await parts.parcels.update(known.id, (record) =>
      isExpired(record) ? advanceParcel(record, { type: 'retried' }, parts.clock.now()) : record,
    );
    parts.log.info({ event: 'parcel.retried', parcel: known.id });
    deposited(parcel);
  };

  const create = async (facts: {
    manifest: Manifest;
    receiverIds: readonly string[];
    archiveBytes: number;
    atMs: number;
  }): Promise<Parcel> => {
    const box: Box = { state: 'waiting', atMs: facts.atMs };
    const parcel: Parcel = {
      id: facts.manifest.id,
      revision: 1,
      senderId: facts.manifest.sender.id,
      manifestSha256: facts.manifest.sha256,
      archiveBytes: facts.archiveBytes,
      receivedAtMs: facts.atMs,
      boxes: Object.fromEntries(facts.receiverIds.map((receiverId) => [receiverId, box])),
    };
    if (await parts.parcels.create(parcel)) return parcel;
    throw new GatewayError('FAULT', 'a parcel came into being twice', { facts: { id: parcel.id } });
  };

  /** Holds the room while it is being filled, so that two that come at once do not both get the last of it. */
  const withRoom = async (receiverIds: readonly string[], bytes: number, fill: () => Promise<void>) => {
    for (const receiverId of receiverIds) {
      const quotaBytes = parts.members.get(receiverId)?.quotaBytes ?? parts.ownQuotaBytes;
      const there = parts.parcels.bytesFor(receiverId) + (reserved.get(receiverId) ?? 0);
      if (there + bytes > quotaBytes) {
        throw new GatewayError('QUOTA_EXCEEDED', `the inbox of ${receiverId} is full`, {
          facts: { receiverId, quotaBytes, waitingBytes: there },
        });
      }
    }
    const reserve = (count: number) => {
      for (const receiverId of receiverIds) reserved.set(receiverId, (reserved.get(receiverId) ?? 0) + count);
    };
    reserve(bytes);
    try {
      await fill();
    } finally {
      reserve(-bytes);
    }
  };

  return {
    unpack,
    async put(memberId, body, signal) {
      const unpacked = await unpack(body, signal);
      try {
        return await unpacked.commit({ memberId });
      } finally {
        await unpacked.discard();
      }
    },
  };
}

function assertSealed(kind: 'sealed' | 'plain', manifest: Manifest): void {
  if (kind !== 'sealed' || manifest.encryption === undefined) {
    throw new GatewayError(
      'ENVELOPE_MALFORMED',
      'the payload is not sealed: a hub takes nothing that it could read',
    );
  }
  // It has a place for the patient's name, in clear.
  if (manifest.keys === 'js') {
    throw new GatewayError('ENVELOPE_MALFORMED', 'the manifest is of jmix-js, which may name the patient');
  }
}

/** @returns the receivers, each once */
function assertRouted(parts: HubParts, manifest: Manifest, from: Origin): readonly string[] {
  if (manifest.sender.id !== from.memberId) {
    throw new GatewayError(
      'NOT_AUTHORISED',
      `the sender of the envelope is not ${from.memberId}, who brings it`,
    );
  }
  if (from.nestedAs !== undefined && manifest.id !== from.nestedAs) {
    throw new GatewayError('ENVELOPE_MALFORMED', 'the envelope within has another id than its file name');
  }
  const receiverIds = [...new Set(manifest.receivers.map(({ id }) => id))];
  if (receiverIds.length === 0) throw new GatewayError('RECIPIENT_MISMATCH', 'the envelope is for nobody');
  // What is for the hub is for nobody else: it would have to be two things at once.
  if (receiverIds.length === 1 && receiverIds[0] === parts.site.id && from.nestedAs === undefined)
    return receiverIds;
  if (receiverIds.some((id) => !parts.members.has(id))) {
    throw new GatewayError('RECIPIENT_MISMATCH', 'a receiver of the envelope is no member of this hub');
  }
  return receiverIds;
}

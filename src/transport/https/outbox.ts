/**
 * The outbox at a bridge that is called over HTTPS, be it the receiver itself or a hub: `POST /api/jmix` for what one
 * connection will carry, an upload in pieces for what is large; and the question what became of it.
 */
import type { EnvelopeId } from '../../domain/envelope-id.js';
import { isGatewayError } from '../../errors/gateway-error.js';
import { envelopeArchiveSize, envelopeMediaType } from '../../jmix/envelope-archive.js';
import type { Outbox, OutgoingEnvelope, PutOptions } from '../transport.js';
import { parseJsonObject, refusalFrom } from './answer.js';
import { exchange } from './exchange.js';
import { putResumable, type ResumablePeer, resumableOffset } from './resumable.js';
import { archiveBody } from './resumable-body.js';

/** Below, to send all of it again costs less than to ask how far it came. */
const RESUMABLE_FROM_BYTES = 8 * 1024 * 1024;
/**
 * From here on in pieces at once: to lose so much would hurt. Below, the first attempt is one request, which the far
 * side unpacks while it comes and writes to its disk but once.
 */
const PIECES_FROM_BYTES = 2 * 1024 ** 3;
/** Envelopes whose last attempt broke on its way; more are not remembered, and start with one request again. */
const MAX_BROKEN = 1_000;

/** @param reach who the far side is, and what says who we are; asked before each request, since tokens change */
export function createOutbox(reach: () => Promise<ResumablePeer>): Outbox {
  const broken = new Set<EnvelopeId>();
  let takesPieces = true;

  const putWhole = async (
    peer: ResumablePeer,
    envelope: OutgoingEnvelope,
    options: PutOptions,
    release?: Promise<void>,
  ) => {
    const answer = await exchange({
      agent: peer.agent,
      method: 'POST',
      url: new URL(`${peer.base}/api/jmix`),
      headers: { ...peer.headers, 'content-type': await envelopeMediaType(envelope.folder) },
      body: await archiveBody(envelope.folder, 0, options, release),
      signal: options.signal,
      onSent: options.onSent,
    });
    if (answer.status !== 200 && answer.status !== 201) throw refusalFrom(answer);
  };

  /** After an attempt that broke, or where one lies there that our last life began. */
  const goesInPieces = async (peer: ResumablePeer, envelope: OutgoingEnvelope, signal: AbortSignal) => {
    const sizeBytes = await envelopeArchiveSize(envelope.folder);
    if (!takesPieces || sizeBytes < RESUMABLE_FROM_BYTES) return false;
    if (sizeBytes >= PIECES_FROM_BYTES || broken.has(envelope.id)) return true;
    return (await resumableOffset(peer, envelope, signal)) !== undefined;
  };

  return {
    async put(envelope, options) {
      const peer = await reach();
      if (await goesInPieces(peer, envelope, options.signal)) {
        try {
          await putResumable(peer, envelope, options);
          broken.delete(envelope.id);
          return;
        } catch (error) {
          if (!isWithoutPieces(error)) throw error;
          takesPieces = false;
        }
      }
      let hasBegun = false;
      const onBytes = (count: number) => {
        hasBegun = true;
        options.onBytes?.(count);
      };
      try {
        await putWhole(peer, envelope, { ...options, onBytes });
      } catch (error) {
        if (hasBegun && broken.size < MAX_BROKEN) broken.add(envelope.id);
        throw error;
      }
    },
    async putHeld(envelope, options, release) {
      await putWhole(await reach(), envelope, options, release);
    },
    async probe({ id, manifestSha256 }, signal) {
      const { agent, base, headers } = await reach();
      const url = new URL(`${base}/api/jmix/${id}/status`);
      const answer = await exchange({ agent, method: 'GET', url, headers: { ...headers }, signal });
      if (answer.status === 404) return 'absent';
      if (answer.status !== 200) throw refusalFrom(answer);
      return parseJsonObject(answer.body)['manifest_sha256'] === manifestSha256 ? 'same' : 'other';
    },
  };
}

/** A bridge of an older version, or another program, that has no such address. */
function isWithoutPieces(error: unknown): boolean {
  return isGatewayError(error) && error.code === 'PEER_REFUSED' && error.facts['status'] === 404;
}

/**
 * Uploads in pieces (tus 1.0.0: core and creation), for large envelopes on bad lines: HEAD asks how far the upload came,
 * PATCH sends the rest as one stream. The address is computed (resumable-name.ts), so nothing is remembered here, and
 * where a peer says that the upload lies is not followed.
 *
 * Not with tus-js-client: its streams are held in memory chunk by chunk and cannot start at an offset, and to import it
 * replaces `process.emit`, `process.reallyExit` and `fs.close` and listens to every signal, which a service that stops in
 * order cannot have. Our tests upload with it, as a stranger would.
 */
import type { Agent } from 'node:https';
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { envelopeArchiveSize } from '../../jmix/envelope-archive.js';
import type { OutgoingEnvelope, PutOptions } from '../transport.js';
import { refusalFrom } from './answer.js';
import { type Answer, exchange } from './exchange.js';
import { isMisplaced, misplaced, uploadOffset } from './resumable-answer.js';
import { archiveBody } from './resumable-body.js';
import { formatUploadName } from './resumable-name.js';

export interface ResumablePeer {
  /** Its connections are verified. */
  readonly agent: Agent;
  /** The peer's own address, without `/api/jmix`. */
  readonly base: string;
  /** Sent with every request, to say who we are where the certificate does not. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** How often an upload that lies otherwise than we were told is looked at anew. */
const MAX_LOOKS = 3;

/**
 * How many bytes of this envelope's archive the peer has; undefined when it has no upload of it. When it has all, the
 * envelope is durable there. Asking ends another connection that still writes to the upload.
 * @throws what `Outbox.probe` throws; what is wrong with the envelope, when the peer has all and refuses it
 */
export async function resumableOffset(
  peer: ResumablePeer,
  envelope: OutgoingEnvelope,
  signal: AbortSignal,
): Promise<number | undefined> {
  const answer = await exchange({ ...requestTo(peer, envelope), method: 'HEAD', signal });
  if (answer.status === 404 || answer.status === 410) return undefined;
  if (answer.status !== 200) throw refusalFrom(answer);
  return uploadOffset(answer, await envelopeArchiveSize(envelope.folder));
}

/**
 * Sends what the peer has not got yet; goes on by itself over connections that break, as long as each of them brings
 * the upload forward. Sending an envelope that the peer has already sends no byte of it.
 * @throws what `Outbox.put` throws; PEER_REFUSED with fact `status` 404 when the peer takes no uploads in pieces
 */
export async function putResumable(
  peer: ResumablePeer,
  envelope: OutgoingEnvelope,
  options: PutOptions,
): Promise<void> {
  const { signal } = options;
  const sizeBytes = await envelopeArchiveSize(envelope.folder);
  let told = false;
  const onSent = async () => {
    if (!told) await options.onSent?.();
    told = true;
  };

  let looks = 1;
  let offset = await resumableOffset(peer, envelope, signal);
  if (offset !== undefined && offset > 0) options.onResume?.(offset);
  while (offset !== sizeBytes) {
    if (offset === undefined) await create(peer, envelope, sizeBytes, signal);
    const from: number = offset ?? 0;
    const outcome = await sendFrom(peer, envelope, from, { ...options, onSent });
    if (outcome.kind === 'broken') {
      offset = await resumableOffset(peer, envelope, signal).catch((error: unknown) => {
        if (signal.aborted) throw error;
        return undefined;
      });
      if (offset === undefined || offset <= from) throw outcome.error;
      continue;
    }
    if (outcome.answer.status === 204) {
      const taken = uploadOffset(outcome.answer, sizeBytes);
      if (taken === sizeBytes) return;
      throw new GatewayError('PEER_BUSY', `the peer stopped after ${taken ?? from} of ${sizeBytes} bytes`);
    }
    if (!isMisplaced(outcome.answer)) throw refusalFrom(outcome.answer);
    if (looks >= MAX_LOOKS) throw misplaced(outcome.answer);
    looks += 1;
    offset = await resumableOffset(peer, envelope, signal);
  }
  await onSent();
}

type Outcome =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'broken'; readonly error: GatewayError };

async function sendFrom(
  peer: ResumablePeer,
  envelope: OutgoingEnvelope,
  offset: number,
  options: PutOptions,
): Promise<Outcome> {
  const { url, agent, headers } = requestTo(peer, envelope);
  try {
    const answer = await exchange({
      agent,
      url,
      method: 'PATCH',
      headers: {
        ...headers,
        'content-type': 'application/offset+octet-stream',
        'upload-offset': String(offset),
      },
      body: await archiveBody(envelope.folder, offset, options),
      signal: options.signal,
      onSent: options.onSent,
    });
    return { kind: 'answered', answer };
  } catch (error) {
    if (isGatewayError(error) && (error.code === 'PEER_UNREACHABLE' || error.code === 'SHIP_UNCONFIRMED')) {
      return { kind: 'broken', error };
    }
    throw error;
  }
}

/** Where the peer has an upload of the same length already, its bytes stay. */
async function create(
  peer: ResumablePeer,
  envelope: OutgoingEnvelope,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const { agent, headers } = requestTo(peer, envelope);
  const metadata = { envelope_id: envelope.id, manifest_sha256: envelope.manifestSha256 };
  const answer = await exchange({
    agent,
    method: 'POST',
    url: new URL(`${peer.base}/api/jmix/uploads`),
    headers: {
      ...headers,
      'upload-length': String(sizeBytes),
      'upload-metadata': Object.entries(metadata)
        .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`)
        .join(','),
    },
    signal,
  });
  if (answer.status !== 201) throw refusalFrom(answer);
}

function requestTo(peer: ResumablePeer, { id, manifestSha256 }: OutgoingEnvelope) {
  return {
    agent: peer.agent,
    url: new URL(`${peer.base}/api/jmix/uploads/${formatUploadName(id, manifestSha256)}`),
    headers: { ...peer.headers, 'tus-resumable': '1.0.0' },
  };
}

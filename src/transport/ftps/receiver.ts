/**
 * Brings what a TLS socket receives into a file. TLS gives pieces of 16 KiB at most; a stream would make a buffer for
 * each, and a write. Here they are gathered in two large buffers, of which one is written while the other fills; when
 * both are full, the server waits.
 */
import type { FileHandle } from 'node:fs/promises';
import type { OnReadOpts } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { GatewayError } from '../../errors/gateway-error.js';

/** What TLS may give at once. */
const PIECE_BYTES = 64 * 1024;
/** Written as soon as the disk has nothing else to do. */
const WORTH_WRITING_BYTES = 256 * 1024;
const PAUSE_AT_BYTES = 1024 * 1024;
/** What has been decrypted already when reading is stopped still comes. */
const BUFFER_BYTES = 2 * PAUSE_AT_BYTES;

/** Where it goes. */
export interface Destination {
  readonly file: FileHandle;
  /** Of the first byte, from 0. */
  readonly position: number;
  /** Most bytes that may come; more is an error. */
  readonly maxBytes: number;
  readonly onBytes: ((count: number) => void) | undefined;
}

export interface Receiver {
  /** For `tls.connect`; from then on bytes may come, and are kept. */
  readonly onread: OnReadOpts;
  /** Whether it is we who keep the server waiting. */
  isHolding(): boolean;
  /**
   * Writes what has come and comes, until the server ends the connection; how much there should have been, the caller
   * knows. What came before it broke is written as well.
   * @returns the number of bytes written
   * @throws ENVELOPE_INCOMPLETE when more than `maxBytes` come, SPOOL_WRITE_FAILED, and what the socket broke with
   */
  into(destination: Destination, socket: TLSSocket): Promise<number>;
}

export function createReceiver(): Receiver {
  let filling = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  let spare = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  let filled = 0;
  let received = 0;
  let paused = false;
  let overrun = false;
  let notify: () => void = () => undefined;
  let limit: Pick<Destination, 'maxBytes' | 'onBytes'> | undefined;

  const take = (count: number, piece: Uint8Array): boolean => {
    received += count;
    limit?.onBytes?.(count);
    if (filled + count > BUFFER_BYTES || (limit !== undefined && received > limit.maxBytes)) {
      overrun = true;
    } else {
      filling.set(piece.subarray(0, count), filled);
      filled += count;
    }
    notify();
    paused = overrun || filled >= PAUSE_AT_BYTES;
    return !paused;
  };

  return {
    onread: { buffer: Buffer.allocUnsafeSlow(PIECE_BYTES), callback: take },
    isHolding: () => paused,
    async into(destination, socket) {
      limit = destination;
      destination.onBytes?.(received);
      let ended = socket.readableEnded || socket.destroyed;
      let failure: Error | undefined;
      const end = (error?: Error) => {
        failure ??= error;
        ended = true;
        notify();
      };
      socket.once('end', () => end());
      socket.once('error', end);
      socket.once('close', () => end(socket.readableEnded ? undefined : broken()));
      let written = 0;
      for (;;) {
        if (overrun || received > destination.maxBytes) throw tooMuch(destination.maxBytes);
        if (filled === 0 && ended) {
          if (failure !== undefined && received < destination.maxBytes) throw failure;
          return written;
        }
        if (filled < WORTH_WRITING_BYTES && !ended) {
          await new Promise<void>((resolve) => {
            notify = resolve;
          });
          notify = () => undefined;
          continue;
        }
        const [full, count] = [filling, filled];
        filling = spare;
        spare = full;
        filled = 0;
        if (paused) {
          paused = false;
          socket.resume();
        }
        await write(destination.file, full, count, destination.position + written);
        written += count;
      }
    },
  };
}

async function write(file: FileHandle, bytes: Buffer, count: number, position: number): Promise<void> {
  try {
    for (let done = 0; done < count; ) {
      done += (await file.write(bytes, done, count - done, position + done)).bytesWritten;
    }
  } catch (cause) {
    const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw new GatewayError('SPOOL_WRITE_FAILED', `the archive cannot be written here: ${errno}`, {
      cause,
      facts: { errno },
    });
  }
}

function broken(): GatewayError {
  return new GatewayError('PEER_UNREACHABLE', 'the data connection broke');
}

function tooMuch(maxBytes: number): GatewayError {
  return new GatewayError(
    'ENVELOPE_INCOMPLETE',
    `the server sends more than the ${maxBytes} bytes that it announced`,
  );
}

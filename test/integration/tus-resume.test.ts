/** Uploads in pieces from our own client to our own listener, over lines that break. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors/gateway-error.js';
import { putResumable, type ResumablePeer, resumableOffset } from '../../src/transport/https/resumable.js';
import type { OutgoingEnvelope } from '../../src/transport/transport.js';
import { makeCertificate, type TlsIdentity } from '../../src/trust/certificate.js';
import { archiveOf, makeSealedEnvelope } from '../conformance/sealed-envelopes.js';
import { until } from '../support/until.js';
import { type BrokenLine, startBrokenLine, startTusBridge, type TusBridge } from './tus-bridge.js';

const PAYLOAD_BYTES = 6 * 1024 * 1024;
/** What may lie in sockets and buffers between two programs of one machine when a connection is cut. */
const IN_FLIGHT_BYTES = 6 * 1024 * 1024;

let folder: string;
let identity: TlsIdentity;
let envelope: OutgoingEnvelope;
let archive: Buffer;
let bridge: TusBridge;
let agent: Agent;
let line: BrokenLine | undefined;
let sent: number;
let bytes: number;
const { signal } = new AbortController();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-tus-'));
  identity = await makeCertificate('them', ['127.0.0.1'], Date.now());
  envelope = await makeSealedEnvelope(join(folder, 'sealed'), { bytes: PAYLOAD_BYTES });
  archive = await archiveOf(envelope);
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  bridge = await startTusBridge(await mkdtemp(join(folder, 'bridge-')), identity);
  agent = new Agent({ ca: identity.certificate, keepAlive: true });
  sent = 0;
  bytes = 0;
});
afterEach(async () => {
  agent.destroy();
  line?.close();
  await bridge.close();
});

const peer = (port = bridge.port, peerId = 'site-a'): ResumablePeer => ({
  agent,
  base: `https://127.0.0.1:${port}`,
  headers: { 'x-peer': peerId },
});
const put = (to = peer(), which = envelope, stop = signal) =>
  putResumable(to, which, {
    signal: stop,
    onBytes: (count) => {
      bytes += count;
    },
    onSent: async () => {
      sent += 1;
    },
  });
const offset = (to = peer()) => resumableOffset(to, envelope, signal);

async function uploadFiles(): Promise<string[]> {
  const names = await readdir(join(bridge.folder, 'uploads'), { recursive: true });
  return names.filter((name) => name.includes('/') && !name.endsWith('.json'));
}

async function expectArrived(): Promise<void> {
  const payload = await readFile(join(bridge.folder, 'held', envelope.id, 'payload.encrypted'));
  expect(payload.equals(await readFile(join(envelope.folder, 'payload.encrypted')))).toBe(true);
  expect(await uploadFiles()).toEqual([]);
}

it('an upload over a good line is one stream, durable when it returns, and gone from the uploads', async () => {
  expect(await offset()).toBeUndefined();
  await put();
  expect({ sent, bytes, received: bridge.received() }).toEqual({
    sent: 1,
    bytes: archive.length,
    received: 1,
  });
  await expectArrived();
});

it('the same envelope again sends no byte of it, and a late question finds it complete', async () => {
  await put();
  await put();
  expect({ bytes, received: bridge.received() }).toEqual({ bytes: archive.length, received: 1 });
  expect(await offset()).toBe(archive.length);
});

it('an envelope that came another way sends no byte of it', async () => {
  bridge.held.set(envelope.id, { peerId: 'site-a', manifestSha256: envelope.manifestSha256 });
  await put();
  expect({ bytes, received: bridge.received(), sent }).toEqual({ bytes: 0, received: 0, sent: 1 });
});

it('an envelope that is not held any more is taken again from its first byte', async () => {
  await put();
  bridge.held.clear();
  await rm(join(bridge.folder, 'held', envelope.id), { recursive: true });
  await put();
  expect(bytes).toBe(2 * archive.length);
  await expectArrived();
});

it('a line that is cut at random bytes costs no more than what was on it', async () => {
  const cuts = Array.from({ length: 5 }, () => 20_000 + Math.floor(Math.random() * 1_000_000));
  line = await startBrokenLine(bridge.port, cuts);
  // A cut before the first byte of the body brings nothing forward, and is for the queue to try again.
  await until(() => put(peer(line?.port)).then(() => true), { what: `arrived over ${cuts}` });
  expect(line.cuts()).toBe(cuts.length);
  expect(bytes).toBeLessThanOrEqual(archive.length + cuts.length * IN_FLIGHT_BYTES);
  await expectArrived();
});

it('bytes that arrived before the cut are there, and are not sent again', async () => {
  line = await startBrokenLine(bridge.port, [3_000_000, 1]);
  await expect(put(peer(line.port))).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' });
  expect(sent).toBe(0);
  const before = await until(offset);
  expect(before).toBeGreaterThan(1_000_000);
  bytes = 0;
  await put();
  expect(bytes).toBe(archive.length - before);
  await expectArrived();
});

it('a sender that comes again does not wait for its dead connection', async () => {
  line = await startBrokenLine(bridge.port, [2_000_000], true);
  await put(peer(line.port));
  await expectArrived();
});

it('a sender that is told to stop is CANCELLED, and finds its bytes later', async () => {
  const stop = new AbortController();
  const stopped = putResumable(peer(), envelope, { signal: stop.signal, onBytes: () => stop.abort() });
  await expect(stopped).rejects.toMatchObject({ code: 'CANCELLED' });
  await put();
  await expectArrived();
});

it('another peer sees nothing of an upload and cannot go on with it', async () => {
  line = await startBrokenLine(bridge.port, [2_000_000, 1]);
  await put(peer(line.port)).catch(() => undefined);
  const before = await offset();
  expect(await offset(peer(bridge.port, 'site-x'))).toBeUndefined();
  await put(peer(bridge.port, 'site-x'));
  expect(bytes).toBeGreaterThan(archive.length);
  expect(await offset()).toBe(before);
});

it('an archive above the limit is ENVELOPE_TOO_LARGE before its first byte', async () => {
  const large = await makeSealedEnvelope(join(folder, 'sealed'), { bytes: 65 * 1024 * 1024 });
  await expect(put(peer(), large)).rejects.toMatchObject({ code: 'ENVELOPE_TOO_LARGE' });
  expect({ bytes, sent, received: bridge.received() }).toEqual({ bytes: 0, sent: 0, received: 0 });
  expect(await uploadFiles()).toEqual([]);
});

it('while the disk is nearly full nothing is begun, and what was begun is kept', async () => {
  bridge.refusal = new GatewayError('SPOOL_ABOVE_WATERMARK', 'the disk is nearly full');
  await expect(put()).rejects.toMatchObject({ code: 'PEER_BUSY', facts: { retryAfterMs: 30_000 } });
  expect({ bytes, files: await uploadFiles() }).toEqual({ bytes: 0, files: [] });
});

it('a bad archive is refused with the reason, and nothing of it is kept', async () => {
  const bad = await makeSealedEnvelope(join(folder, 'sealed'), { bytes: 10 });
  await writeFile(join(bad.folder, 'manifest.json'), 'not a manifest');
  await expect(put(peer(), bad)).rejects.toMatchObject({
    code: 'PEER_REFUSED',
    facts: { peerCode: expect.stringMatching(/^(?:MANIFEST_INVALID|ENVELOPE_MALFORMED)$/) },
  });
  expect(await uploadFiles()).toEqual([]);
});

it('a failure after the last byte that may pass keeps the upload, and the next question finishes it', async () => {
  bridge.beforeReceive = async () => {
    throw new GatewayError('SPOOL_WRITE_FAILED', 'the data disk refused a write');
  };
  await expect(put()).rejects.toMatchObject({ code: 'PEER_BUSY' });
  expect(await uploadFiles()).toHaveLength(1);
  bridge.beforeReceive = async () => undefined;
  await put();
  expect(bytes).toBe(archive.length);
  await expectArrived();
});

it('an answer that is lost after the last byte leaves an envelope that is received once', async () => {
  let goOn: () => void = () => undefined;
  const lost = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  bridge.beforeReceive = async () => {
    agent.destroy();
    await lost;
  };
  const putting = put();
  await until(() => bridge.received() === 1);
  goOn();
  await putting;
  expect({ bytes, received: bridge.received(), sent }).toEqual({
    bytes: archive.length,
    received: 1,
    sent: 1,
  });
  await expectArrived();
});

it('what nobody goes on with is forgotten, and what is young is not', async () => {
  line = await startBrokenLine(bridge.port, [2_000_000, 1]);
  await put(peer(line.port)).catch(() => undefined);
  await bridge.uploads.sweep(Date.now());
  expect(await uploadFiles()).toHaveLength(1);
  await bridge.uploads.sweep(Date.now() + 8 * 24 * 3_600_000);
  expect(await offset()).toBeUndefined();
  expect(await uploadFiles()).toEqual([]);
});

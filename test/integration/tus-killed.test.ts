/** The taking side is killed in the middle of an upload, and after its last byte: nothing that was there is sent again. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { putResumable, resumableOffset } from '../../src/transport/https/resumable.js';
import type { OutgoingEnvelope } from '../../src/transport/transport.js';
import { makeCertificate } from '../../src/trust/certificate.js';
import { archiveOf, makeSealedEnvelope } from '../conformance/sealed-envelopes.js';
import { type RunningProcess, startProcess } from '../support/processes.js';

const PAYLOAD_BYTES = 24 * 1024 * 1024;
const { signal } = new AbortController();

let folder: string;
let envelope: OutgoingEnvelope;
let archive: Buffer;
let agent: Agent;
let program: RunningProcess;
let bytes: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-tus-killed-'));
  const identity = await makeCertificate('them', ['127.0.0.1'], Date.now());
  envelope = await makeSealedEnvelope(join(folder, 'sealed'), { bytes: PAYLOAD_BYTES });
  archive = await archiveOf(envelope);
  await writeFile(join(folder, 'certificate.pem'), identity.certificate);
  await writeFile(join(folder, 'key.pem'), identity.privateKey);
  await writeFile(join(folder, 'manifest-sha256'), envelope.manifestSha256);
  agent = new Agent({ ca: identity.certificate });
  bytes = 0;
});
afterEach(async () => {
  agent.destroy();
  await program.stop();
  await rm(folder, { recursive: true, force: true });
});

async function start() {
  program = await startProcess({
    command: process.execPath,
    args: [resolve('test/integration/tus-process.mjs'), folder, resolve('dist/src')],
    ready: /listening on \d+/,
  });
  const port = /listening on (\d+)/.exec(program.output())?.[1];
  return { agent, base: `https://127.0.0.1:${port}` };
}

it('killed in the middle, it goes on with the bytes that it had written', async () => {
  const peer = await start();
  const onBytes = (count: number) => {
    bytes += count;
    if (bytes > PAYLOAD_BYTES / 2) program.kill('SIGKILL');
  };
  await expect(putResumable(peer, envelope, { signal, onBytes })).rejects.toMatchObject({
    code: 'PEER_UNREACHABLE',
  });
  const again = await start();
  const there = (await resumableOffset(again, envelope, signal)) ?? 0;
  expect(there).toBeGreaterThan(0);
  bytes = 0;
  await putResumable(again, envelope, {
    signal,
    onBytes: (count) => {
      bytes += count;
    },
  });
  expect(bytes).toBe(archive.length - there);
  expect((await readFile(join(folder, 'held'))).equals(archive)).toBe(true);
});

it('killed after the last byte, before the envelope is held, it takes it over when it is asked again', async () => {
  await writeFile(join(folder, 'die-before-held'), '');
  const peer = await start();
  await expect(putResumable(peer, envelope, { signal })).rejects.toMatchObject({ code: 'SHIP_UNCONFIRMED' });
  await rm(join(folder, 'die-before-held'));
  const again = await start();
  await putResumable(again, envelope, {
    signal,
    onBytes: (count) => {
      bytes += count;
    },
  });
  expect(bytes).toBe(0);
  expect((await readFile(join(folder, 'held'))).equals(archive)).toBe(true);
});

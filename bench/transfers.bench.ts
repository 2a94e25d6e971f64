/**
 * Envelopes on the wire: FTPS against lftp on the same vsftpd, both ways, and an HTTPS put against `curl -T` to the
 * same server. Peers are timed as whole processes, less what the same process takes for an empty file; ours is timed
 * within its process, after a small put, as in a bridge that has run for days.
 */
import { execFile, fork, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openEnvelopeArchive } from '../src/jmix/envelope-archive.js';
import { archiveName } from '../src/transport/exchange-names.js';
import { makeSealedEnvelope } from '../test/conformance/sealed-envelopes.js';
import { makeCertificate } from '../test/support/certificates.js';
import { startFtpServer } from '../test/support/ftp-servers.js';
import { compare, keep, type Measured, TABLE_HEAD, warmMemory } from './measure.js';
import type { ChildResult, ChildTask } from './transfer-child.js';

const BYTES = Number(process.env['BENCH_BYTES'] ?? 1024 ** 3);
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5);
const FIRST_BYTES = 32 * 1024 ** 2;
const GOAL = 0.9;
const run = promisify(execFile);

const root = await mkdtemp(join(tmpdir(), 'drawbridge-bench-'));
try {
  const envelope = await makeSealedEnvelope(join(root, 'sealed'), { bytes: BYTES });
  const first = await makeSealedEnvelope(join(root, 'first'), { bytes: FIRST_BYTES });
  const archive = await openEnvelopeArchive(envelope.folder);
  const megabytes = archive.sizeBytes / 1e6;
  const plain = join(root, archiveName(envelope.id));
  await pipeline(archive.stream, createWriteStream(plain));
  const empty = join(root, 'empty');
  await writeFile(empty, '');
  const lines = [...TABLE_HEAD, ...(await ftps()), ...(await https())];
  keep(
    'Envelopes on the wire',
    `One envelope of ${(BYTES / 1024 ** 2).toFixed(0)} MiB over loopback, TLS 1.3 where both can; ${ROUNDS} turns. Peak RSS is that of our whole process.`,
    lines,
  );

  async function ftps(): Promise<readonly string[]> {
    const server = await startFtpServer('vsftpd');
    try {
      const place = join(server.folder, 'box');
      await mkdir(place);
      await server.give(place);
      const there = join(place, archiveName(envelope.id));
      const options = {
        host: server.host,
        port: server.port,
        user: server.user,
        password: server.password,
        trust: { certificateFingerprints: [server.fingerprint] },
        outbox: '/box',
        inbox: '/box',
        afterTaking: 'delete',
        claimer: '0123456789abcdef',
      } as const;
      const ours = (act: ChildTask['act']) =>
        child({
          act,
          to: { type: 'ftps', options },
          envelope,
          ...(act === 'put' ? { first: { ...first, id: randomUUID() } } : {}),
          file: join(root, 'taken'),
        });
      const lftp = async (script: string): Promise<Measured> => {
        const set = `set ftp:ssl-force true; set ftp:ssl-protect-data true; set ssl:ca-file ${server.caFile}; set ssl:check-hostname false; set xfer:clobber true; set net:socket-buffer 0`;
        return timed('lftp', [
          '-e',
          `${set}; open -u ${server.user},${server.password} -p ${server.port} ftp://127.0.0.1; ${script}; bye`,
        ]);
      };
      const upload = await compare(
        {
          title: 'FTPS upload',
          before: () => warmMemory(root, 2 * BYTES),
          megabytes,
          goal: GOAL,
          contestants: [
            {
              name: 'drawbridge',
              run: async () => {
                await rm(there, { force: true });
                return ours('put');
              },
            },
            {
              name: 'lftp',
              run: async () => {
                await rm(there, { force: true });
                const { seconds: idle } = await lftp(`put -O /box ${empty}`);
                const { seconds } = await lftp(`put -O /box ${plain}`);
                return { seconds: seconds - idle };
              },
            },
          ],
        },
        ROUNDS,
      );
      const bring = async () => {
        await rm(there, { force: true });
        await copyFile(plain, there);
        await server.give(there);
      };
      const download = await compare(
        {
          title: 'FTPS download',
          megabytes,
          goal: GOAL,
          contestants: [
            {
              name: 'drawbridge',
              run: async () => {
                await bring();
                await warmMemory(root, 2 * BYTES);
                return ours('take');
              },
            },
            {
              name: 'lftp',
              run: async () => {
                await bring();
                await warmMemory(root, 2 * BYTES);
                const { seconds: idle } = await lftp(`get -O ${root}/got /box/empty`);
                const { seconds } = await lftp(`get -O ${root}/got /box/${archiveName(envelope.id)}`);
                await rm(join(root, 'got', archiveName(envelope.id)));
                return { seconds: seconds - idle };
              },
            },
          ],
        },
        ROUNDS,
      );
      return [...upload, ...download];
    } finally {
      await server.stop();
    }
  }

  /** A server that takes everything and keeps nothing, so that what is measured is the one who sends. */
  async function https(): Promise<readonly string[]> {
    const certificate = await makeCertificate('localhost');
    const sink = spawn(process.execPath, [fileURLToPath(new URL('./sink.js', import.meta.url))], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    sink.stdin.end(JSON.stringify(certificate));
    const [said] = (await once(sink.stdout, 'data')) as [Buffer];
    const port = Number(said.toString());
    const identity = await makeCertificate('bench');
    const url = `https://localhost:${port}`;
    try {
      return await compare(
        {
          title: 'HTTPS put',
          before: () => warmMemory(root, 2 * BYTES),
          megabytes,
          goal: GOAL,
          contestants: [
            {
              name: 'drawbridge',
              run: () =>
                child({
                  act: 'put',
                  to: { type: 'https', url, fingerprint: certificate.fingerprint, identity },
                  envelope,
                  first,
                  file: '',
                }),
            },
            {
              name: 'curl -T',
              run: async () => {
                const curl = (file: string) =>
                  timed('curl', ['-sS', '-k', '--http1.1', '-o', '/dev/null', '-T', file, `${url}/api/jmix`]);
                const { seconds: idle } = await curl(empty);
                const { seconds } = await curl(plain);
                return { seconds: seconds - idle };
              },
            },
          ],
        },
        ROUNDS,
      );
    } finally {
      sink.kill();
    }
  }
} finally {
  await rm(root, { recursive: true, force: true });
}

async function timed(command: string, args: readonly string[]): Promise<Measured> {
  await mkdir(join(root, 'got'), { recursive: true });
  const startedAtMs = performance.now();
  await run(command, args, { cwd: root });
  return { seconds: (performance.now() - startedAtMs) / 1000 };
}

async function child(task: ChildTask): Promise<Measured> {
  const process = fork(
    fileURLToPath(new URL('./transfer-child.js', import.meta.url)),
    [JSON.stringify(task)],
    {
      silent: true,
    },
  );
  let said = '';
  process.stdout?.on('data', (text: Buffer) => {
    said += text.toString();
  });
  let complaint = '';
  process.stderr?.on('data', (text: Buffer) => {
    complaint += text.toString();
  });
  const [code] = (await once(process, 'close')) as [number];
  if (code !== 0) throw new Error(`our transfer ended with ${code}\n${complaint}`);
  return JSON.parse(said) as ChildResult;
}

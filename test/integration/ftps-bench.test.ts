import { mkdtemp, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { it } from 'vitest';
import { spawnSync } from 'node:child_process';
import { createFtpsTransport } from '../../src/transport/ftps/transport.js';
import { makeSealedEnvelope } from '../conformance/sealed-envelopes.js';
import { startFtpServer } from '../support/ftp-servers.js';
import { openEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
it('bench', async () => {
  const signal = new AbortController().signal;
  const root = await mkdtemp(join(tmpdir(), 'ftps-bench-'));
  const server = await startFtpServer('vsftpd');
  await mkdir(join(server.folder, 'box')); await server.give(join(server.folder, 'box'));
  const t = createFtpsTransport({ host: server.host, port: server.port, user: server.user, password: server.password, trust: { certificateFingerprints: [server.fingerprint] }, outbox: 'box', inbox: 'box', afterTaking: 'delete', claimer: 'ab'.repeat(8) });
  const sealed = await makeSealedEnvelope(join(root, 's'), { bytes: 768 * 1024 * 1024 });
  const a = await openEnvelopeArchive(sealed.folder);
  await pipeline(a.stream, createWriteStream(join(root, 'plain.tar')));
  const lftp = (cmd: string) => { const t0 = performance.now(); const r = spawnSync('lftp', ['-u', `${server.user},${server.password}`, '-e', `set ssl:verify-certificate no; set ftp:ssl-force true; set ftp:ssl-protect-data true; ${cmd}; bye`, `ftp://127.0.0.1:${server.port}`], { encoding: 'utf8' }); if (r.status !== 0) console.log(r.stderr); return performance.now() - t0; };
  for (let round = 0; round < 2; round += 1) {
    const l1 = lftp(`put ${join(root, 'plain.tar')} -o box/x${round}`);
    const d0 = process.cpuUsage(); const t0 = performance.now();
    await t.put(sealed, { signal });
    const t1 = performance.now(); const d1 = process.cpuUsage(d0);
    const rssUp = process.memoryUsage().rss / 1e6;
    const l2 = lftp(`get box/x${round} -o ${join(root, `down${round}`)}`);
    const [w] = await t.list({ signal });
    const c0 = process.cpuUsage(); const t2 = performance.now();
    if (w) await t.take(w, join(root, `taken${round}`), { signal });
    const t3 = performance.now(); const c1 = process.cpuUsage(c0);
    if (w) await t.acknowledge(w.id, 'taken', signal);
    console.log(JSON.stringify({ cpuUp: [d1.user/1e3, d1.system/1e3], cpuDown: [c1.user / 1e3, c1.system/1e3], lftpPut: l1, ourPut: t1 - t0, lftpGet: l2, ourGet: t3 - t2, up: l1 / (t1 - t0), down: l2 / (t3 - t2), rssUp, rss: process.memoryUsage().rss / 1e6 }));
    await rm(join(root, `down${round}`)); await rm(join(root, `taken${round}`)); await rm(join(server.folder, 'box', `x${round}`));
  }
  t.close(); await server.stop(); await rm(root, { recursive: true });
}, 200_000);

import { X509Certificate } from 'node:crypto';
import { readFileSync, chownSync, statSync } from 'node:fs';
import { mkdtemp, readdir, writeFile, rm, chmod } from 'node:fs/promises';
import { join, basename } from 'node:path';
import { createFtpsTransport } from '../../src/transport/ftps/transport.js';
import { transportConformance } from '../conformance/transport.js';
const fp = new X509Certificate(readFileSync('/tmp/fx/cert.pem')).fingerprint256.replaceAll(':', '').toLowerCase();
  transportConformance('hand', async () => {
    const folder = await mkdtemp('/home/ftpt/box-');
    await chmod(folder, 0o755);
    const { uid, gid } = statSync('/home/ftpt');
    chownSync(folder, uid, gid);
    const remote = `/${basename(folder)}`;
    const make = (claimer: string) =>
      createFtpsTransport({
        host: '127.0.0.1', port: 21211, user: 'ftpt', password: 'secret',
        trust: { certificateFingerprints: [fp] },
        outbox: remote, inbox: remote, afterTaking: 'delete', claimer,
      });
    const [sender, receiver, rival] = [make('aaaaaaaa'), make('bbbbbbbb'), make('cccccccc')];
    return {
      sender, receiver, rival, knowsOrder: false,
      files: async () => (await readdir(folder)),
      plant: async (name, bytes) => { await writeFile(join(folder, name), bytes); chownSync(join(folder, name), uid, gid); },
      close: async () => { for (const one of [sender, receiver, rival]) one.close(); await rm(folder, { recursive: true }); },
    };
  });

/** The FTPS transport against the servers that hospitals run, each as strict as its makers advise. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFtpsTransport, type FtpsOptions } from '../../src/transport/ftps/transport.js';
import { type TransportUnderTest, transportConformance } from '../conformance/transport.js';
import {
  type FtpServer,
  type FtpServerKind,
  type FtpServerOptions,
  startFtpServer,
} from '../support/ftp-servers.js';
import { describeWith } from '../support/tools.js';

const VARIANTS: readonly { kind: FtpServerKind; title: string; options?: FtpServerOptions; move?: true }[] = [
  { kind: 'vsftpd', title: 'vsftpd, TLS 1.3' },
  { kind: 'proftpd', title: 'ProFTPD, TLS 1.3' },
  { kind: 'pure-ftpd', title: 'Pure-FTPd, TLS 1.3' },
];

for (const { kind, title, options = {}, move } of VARIANTS) {
  describeWith([kind, 'openssl'], title, () => {
    transportConformance(`FTPS on ${title}`, () => openPlace(kind, options, move ? 'move' : 'delete'));
  });
}

async function openPlace(
  kind: FtpServerKind,
  options: FtpServerOptions,
  afterTaking: FtpsOptions['afterTaking'],
): Promise<TransportUnderTest> {
  const server = await startFtpServer(kind, options);
  const inbox = join(server.folder, 'inbox of b');
  await mkdir(inbox);
  await server.give(inbox);
  const bridge = (claimer: string, folders: Pick<FtpsOptions, 'inbox' | 'outbox'>) =>
    createFtpsTransport({ ...loginOf(server), ...folders, afterTaking, claimer });
  const sender = bridge('a'.repeat(16), { outbox: '/inbox of b' });
  const receiver = bridge('b'.repeat(16), { inbox: '/inbox of b' });
  const rival = bridge('c'.repeat(16), { inbox: 'inbox of b/' });
  return {
    sender,
    receiver,
    rival,
    // By the second, or by the minute.
    knowsOrder: false,
    async files() {
      const entries = await readdir(inbox, { withFileTypes: true });
      return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
    },
    async plant(name, bytes) {
      await writeFile(join(inbox, name), bytes);
      await server.give(join(inbox, name));
    },
    async close() {
      for (const one of [sender, receiver, rival]) one.close();
      await server.stop();
    },
  };
}

function loginOf({ host, port, user, password, fingerprint }: FtpServer) {
  return { host, port, user, password, trust: { certificateFingerprints: [fingerprint] } };
}

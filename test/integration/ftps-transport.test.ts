/** The FTPS transport against the servers that hospitals run, each as strict as its makers advise. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFtpsTransport, type FtpsOptions } from '../../src/transport/ftps/transport.js';
import { type TransportUnderTest, transportConformance } from '../conformance/transport.js';
import { type FtpServer, type FtpServerKind, startFtpServer } from '../support/ftp-servers.js';
import { describeWith } from '../support/tools.js';

const SERVERS: readonly { kind: FtpServerKind; title: string }[] = [
  { kind: 'vsftpd', title: 'vsftpd' },
  { kind: 'proftpd', title: 'ProFTPD' },
  { kind: 'pure-ftpd', title: 'Pure-FTPd' },
];

for (const { kind, title } of SERVERS) {
  describeWith([kind, 'openssl'], title, () => {
    transportConformance(`FTPS on ${title}`, () => openPlace(kind));
  });
}

async function openPlace(kind: FtpServerKind): Promise<TransportUnderTest> {
  const server = await startFtpServer(kind);
  const inbox = join(server.folder, 'inbox of b');
  await mkdir(inbox);
  await server.give(inbox);
  const bridge = (claimer: string, folders: Pick<FtpsOptions, 'inbox' | 'outbox'>) =>
    createFtpsTransport({ ...loginOf(server), ...folders, afterTaking: 'delete', claimer });
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

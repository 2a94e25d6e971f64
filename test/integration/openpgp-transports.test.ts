/** An OpenPGP message on its way through an FTPS server: named for the partner’s eyes, and taken like any other archive. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { createFtpsTransport } from '../../src/transport/ftps/transport.js';
import { startFtpServer } from '../support/ftp-servers.js';
import { describeWith } from '../support/tools.js';

const { signal } = new AbortController();

describeWith(['vsftpd', 'openssl'], 'an OpenPGP message on an FTPS server', () => {
  it('is put as .JMIX.tar.gpg, known again, taken whole, and can be refused', async () => {
    const root = await mkdtemp(join(tmpdir(), 'drawbridge-message-'));
    const server = await startFtpServer('vsftpd');
    const inbox = join(server.folder, 'box');
    await mkdir(inbox);
    await server.give(inbox);
    const { host, port, user, password, fingerprint } = server;
    const transport = createFtpsTransport({
      ...{ host, port, user, password, trust: { certificateFingerprints: [fingerprint] } },
      ...{ outbox: '/box', inbox: '/box', afterTaking: 'delete', claimer: 'a'.repeat(16) },
    });
    try {
      const id = parseEnvelopeId(randomUUID());
      const message = randomBytes(300_000);
      const envelope = { id, folder: join(root, 'envelope'), manifestSha256: '0'.repeat(64) };
      await mkdir(envelope.folder);
      await writeFile(join(envelope.folder, 'message.gpg'), message);
      await writeFile(join(envelope.folder, 'manifest.json'), '{}');
      expect(await transport.probe(envelope, signal)).toBe('absent');
      await transport.put(envelope, { signal });
      expect(await readdir(inbox)).toEqual([`${id}.JMIX.tar.gpg`]);
      expect(await transport.probe(envelope, signal)).toBe('same');
      await transport.put(envelope, { signal });

      const waiting = await transport.list({ signal });
      expect(waiting).toEqual([{ id, sizeBytes: message.length }]);
      for (const each of waiting) await transport.take(each, join(root, 'taken'), { signal });
      expect((await readFile(join(root, 'taken'))).equals(message)).toBe(true);
      expect(await transport.probe(envelope, signal)).toBe('same');
      await transport.acknowledge(id, 'refused', signal);
      expect(await readdir(inbox)).toEqual([`${id}.JMIX.tar.refused`]);
    } finally {
      transport.close();
      await server.stop();
      await rm(root, { recursive: true, force: true });
    }
  });
});

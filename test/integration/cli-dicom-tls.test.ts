/** The commands that have to do with DICOM over TLS: what they check, and what they say when a handshake fails. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeAuthority } from '../support/certificate-authority.js';
import { drawbridge, drawbridgeJson } from '../support/cli.js';
import { type Storescp, startStorescp } from '../support/dcmtk.js';
import { describeWith } from '../support/tools.js';
import { makeTlsSite, type TlsSite } from './dicom-tls-site.js';

let site: TlsSite;
let pacs: Storescp;
let config: string;

beforeEach(async () => {
  site = await makeTlsSite();
  await site.install('pacs', await site.authority.issue({ key: 'rsa' }));
  const identity = ['+tls', site.file('pacs.key'), site.file('pacs.pem'), '+cf', site.file('ca.pem')];
  pacs = await startStorescp({ args: identity });
  config = site.file('drawbridge.yaml');
  await writeFile(
    config,
    JSON.stringify({
      site: { id: 'site-a', name: 'Site A', contact: 'pacs@a.example.org' },
      dataDir: 'data',
      dimse: { tls: { certFile: 'own.pem', keyFile: 'own.key', caFile: 'ca.pem' } },
      pacs: [{ name: 'main', aeTitle: 'PACS', host: 'localhost', port: pacs.port, tls: true }],
    }),
  );
});
afterEach(async () => {
  await pacs.stop();
  await site.close();
});

describeWith('dcmtk', 'commands and DICOM over TLS', () => {
  it('check-config tells what does not fit together, is not there, or has expired', async () => {
    const check = () => drawbridgeJson('check-config', '-c', config);
    const error = (code: string, message: RegExp) => ({
      ok: false,
      code,
      message: expect.stringMatching(message),
    });
    expect(await check()).toMatchObject({ exit: 0 });
    await writeFile(site.file('own.key'), (await site.authority.issue()).privateKey);
    expect(await check()).toMatchObject(error('CONFIG_INVALID', /do not belong together/));
    await site.install('own', await site.authority.issue({ validDays: [-2, -1] }));
    expect(await check()).toMatchObject(error('CONFIG_INVALID', /has expired/));
    await site.install('own', site.own);
    await rm(site.file('ca.pem'));
    expect(await check()).toMatchObject(error('CONFIG_INVALID', /caFile cannot be read/));
  });

  it('a PACS whose certificate is revoked gets nothing, and check-config looks at the lists', async () => {
    const { dimse, ...others } = JSON.parse(await readFile(config, 'utf8'));
    const tls = { ...dimse.tls, crlFile: 'lists.crl' };
    await writeFile(config, JSON.stringify({ ...others, dimse: { tls } }));
    const check = async (message: RegExp) =>
      expect(await drawbridgeJson('check-config', '-c', config)).toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(message),
      });
    await check(/crlFile cannot be read/);
    await writeFile(site.file('lists.crl'), site.own.certificate);
    await check(/holds no revocation list that can be read/);
    await writeFile(site.file('lists.crl'), (await site.authority.revoke([], [-2, -1])).der);
    await check(/a list of dimse\.tls\.crlFile has expired at 20/);
    await writeFile(site.file('lists.crl'), (await site.authority.revoke([])).der);
    expect(await drawbridgeJson('check-config', '-c', config)).toMatchObject({ exit: 0 });
    expect((await drawbridge('echo', 'main', '-c', config)).code).toBe(0);
    const shown = { ...site.own, certificate: await readFile(site.file('pacs.pem'), 'utf8') };
    await writeFile(site.file('lists.crl'), (await site.authority.revoke([shown])).pem);
    const refused = await drawbridge('echo', 'main', '-c', config);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(
      /the certificate of localhost:\d+, [0-9a-f]{64}, is not taken: it is revoked/,
    );
  });

  it('echo and send say why a handshake fails, and do better when it does not', async () => {
    const good = await drawbridge('echo', 'main', '-c', config);
    expect(good.code, good.stderr).toBe(0);
    const named = await drawbridge('echo', `PACS@localhost:${pacs.port}`, '--tls', '-c', config);
    expect(named.code, named.stderr).toBe(0);
    await writeFile(site.file('ca.pem'), (await makeAuthority()).certificate);
    const bad = await drawbridge('echo', 'main', '-c', config);
    expect(bad.code).not.toBe(0);
    expect(bad.stderr).toContain('PACS_UNTRUSTED');
    expect(bad.stderr).toContain('a CA that is not known here');
  });
});

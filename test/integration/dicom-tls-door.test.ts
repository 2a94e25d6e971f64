/** Who gets through TLS to the SCP, and what those who do not are told apart by; openssl as the other end. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect as connectPlain, type Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { DicomTlsOptions } from '../../src/dimse/dicom-tls.js';
import { readTlsMaterial } from '../../src/dimse/dicom-tls-material.js';
import { listenForAssociations, type ScpListener } from '../../src/dimse/scp-listener.js';
import { silentLog } from '../../src/observe/log.js';
import { readRevocations } from '../../src/trust/revocations.js';
import { makeAuthority } from '../support/certificate-authority.js';
import type { TestCertificate } from '../support/certificates.js';
import { runProcess } from '../support/processes.js';
import { describeWith, tool } from '../support/tools.js';
import { until } from '../support/until.js';
import { makeTlsSite, type TlsSite } from './dicom-tls-site.js';

const WELCOME = 'welcome';

let site: TlsSite;
let listener: ScpListener;
let reasons: string[];
let inside: TLSSocket[];
const callers: Socket[] = [];

const listen = async (
  options: Partial<DicomTlsOptions> & { maxConnections?: number; handshakeTimeoutMs?: number } = {},
) => {
  const dicomTls = await site.open(options);
  listener = await listenForAssociations({
    host: '127.0.0.1',
    tls: { port: 0, dicomTls },
    maxConnections: options.maxConnections ?? 10,
    associated: () => new Set(),
    log: silentLog,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? 20_000,
    take: (socket) => {
      socket.on('error', () => undefined);
      inside.push(socket as TLSSocket);
      socket.write(WELCOME);
    },
    refused: ({ reason }) => reasons.push(reason),
  });
  return dicomTls;
};
const port = () => listener.tlsPort ?? 0;

/** What the door says to a caller; '' when it is not let in. */
const call = async (certificate?: TestCertificate, options: ConnectionOptions = {}): Promise<string> => {
  const caller = connect({
    host: '127.0.0.1',
    port: port(),
    rejectUnauthorized: false,
    ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.privateKey }),
    ...options,
  });
  callers.push(caller);
  return firstWord(caller);
};
const firstWord = (caller: Socket): Promise<string> =>
  new Promise((resolve) => {
    caller.once('data', (bytes) => resolve(String(bytes)));
    caller.on('error', () => undefined).once('close', () => resolve(''));
  });
const callPlain = (): Socket => {
  const caller = connectPlain(port(), '127.0.0.1');
  callers.push(caller.on('error', () => undefined));
  return caller;
};
/** What openssl says of a handshake with these options. */
const sClient = async (...args: string[]): Promise<string> => {
  const client = await site.authority.issue();
  await site.install('client', client);
  const identity = ['-cert', site.file('client.pem'), '-key', site.file('client.key')];
  const { output } = await runProcess({
    command: tool('openssl'),
    args: [
      's_client',
      '-connect',
      `127.0.0.1:${port()}`,
      ...identity,
      '-CAfile',
      site.file('ca.pem'),
      ...args,
    ],
  });
  return output;
};

/** The site's files, and revocation lists beside them. */
const lookingAt = async (lists: string): Promise<DicomTlsOptions['files']> => {
  const crlFile = site.file('crl');
  await writeFile(crlFile, lists);
  return { ...site.files, crlFile, revocations: () => readRevocations(crlFile) };
};

beforeEach(async () => {
  site = await makeTlsSite();
  reasons = [];
  inside = [];
});
afterEach(async () => {
  for (const socket of [...callers.splice(0), ...inside]) socket.destroy();
  listener?.close();
  await site.close();
});

describeWith('openssl', 'the door for DICOM over TLS', () => {
  it('keeps out a caller without a certificate', async () => {
    await listen();
    expect(await call()).toBe('');
    await until(() => reasons.length > 0);
    expect(reasons).toEqual(['no certificate was shown']);
    expect(inside).toEqual([]);
  });

  it('keeps out a certificate of an unknown CA, and names it by its fingerprint alone', async () => {
    await listen();
    const stranger = await (await makeAuthority()).issue({ host: 'someone' });
    expect(await call(stranger)).toBe('');
    await until(() => reasons.length > 0);
    expect(reasons[0]).toContain(stranger.fingerprint);
    expect(reasons[0]).toContain('a CA that is not known here');
    expect(JSON.stringify(site.logged)).not.toContain('someone');
  });

  it('keeps out certificates whose time is over, or has not come, and those of servers', async () => {
    await listen();
    expect(await call(await site.authority.issue({ validDays: [-2, -1] }))).toBe('');
    expect(await call(await site.authority.issue({ validDays: [1, 2] }))).toBe('');
    expect(await call(await site.authority.issue({ usage: 'server' }))).toBe('');
    await until(() => reasons.length === 3);
    expect(reasons[0]).toMatch(/has expired at 20/);
    expect(reasons[1]).toMatch(/is not valid before 20/);
    expect(reasons[2]).toMatch(/extended key usage/);
  });

  it('keeps out a certificate from the moment on at which its CA has revoked it', async () => {
    const [kept, lost] = [await site.authority.issue(), await site.authority.issue()];
    await listen({ files: await lookingAt((await site.authority.revoke([])).pem) });
    expect(await call(lost)).toBe(WELCOME);
    await writeFile(site.file('crl'), (await site.authority.revoke([lost])).der);
    await until(() => site.logged.filter(({ event }) => event === 'dicom_tls.loaded').length >= 2);
    expect(await call(lost)).toBe('');
    await until(() => reasons.length > 0);
    expect(reasons[0]).toMatch(new RegExp(`^its certificate ${lost.fingerprint} .*revoked`));
    expect(await call(kept)).toBe(WELCOME);
  });

  it('keeps out what a CA vouches for without a list, or with one that is worth nothing any more', async () => {
    const other = await makeAuthority();
    const pinned = await other.issue();
    await listen({ files: await lookingAt((await other.revoke([])).pem), pins: [pinned.fingerprint] });
    expect(await call(await site.authority.issue())).toBe('');
    await until(() => reasons.length === 1);
    expect(reasons[0]).toContain('holds no revocation list of its CA');
    const { pem } = await site.authority.revoke([], [-2, -1]);
    await writeFile(site.file('crl'), `${pem}\n${(await other.revoke([pinned])).pem}`);
    await until(() => site.logged.some(({ event }) => event === 'dicom_tls.crl_expired'));
    expect(await call(await site.authority.issue())).toBe('');
    await until(() => reasons.length === 2);
    expect(reasons[1]).toContain('the revocation list of its CA in dimse.tls.crlFile has expired');
    // A pin is the word of an operator, whatever others say.
    expect(await call(pinned)).toBe(WELCOME);
  });

  it('goes on with the lists that it has where the new ones cannot be read', async () => {
    const lost = await site.authority.issue();
    await listen({ files: await lookingAt((await site.authority.revoke([lost])).pem) });
    await writeFile(site.file('crl'), '<html>404</html>');
    await until(() => site.logged.some(({ event }) => event === 'dicom_tls.unusable'));
    expect(await call(lost)).toBe('');
    expect(await call(await site.authority.issue())).toBe(WELCOME);
  });

  it('keeps out a pinned certificate that has expired', async () => {
    const pinned = await (await makeAuthority()).issue({ validDays: [-2, -1] });
    await listen({ pins: [pinned.fingerprint] });
    expect(await call(pinned)).toBe('');
    await until(() => reasons.length > 0);
    expect(reasons[0]).toMatch(/has expired/);
  });

  it('vouches for nobody by the CAs that come with Node where it knows no CA', async () => {
    const { caFile, ...files } = site.files;
    expect(caFile).toBeDefined();
    expect((await readTlsMaterial(files)).options.ca).toEqual([]);
    await listen({ files });
    expect(await call(await site.authority.issue())).toBe('');
  });

  it('lets in by a CA and by a pin side by side, and strangers to neither', async () => {
    const pinned = await (await makeAuthority()).issue();
    await listen({ pins: [pinned.fingerprint] });
    expect(await call(pinned)).toBe(WELCOME);
    expect(await call(await site.authority.issue())).toBe(WELCOME);
    expect(await call(await (await makeAuthority()).issue())).toBe('');
  });

  it('where certificates are optional, lets in a caller without, but not one with a bad one', async () => {
    await listen({ clientCertificates: 'optional' });
    expect(await call()).toBe(WELCOME);
    expect(await call(await (await makeAuthority()).issue())).toBe('');
  });

  it('speaks neither TLS 1.1 nor CBC nor NULL, and says so', async () => {
    await listen();
    for (const args of [
      ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'],
      ['-tls1_2', '-cipher', 'ECDHE-RSA-AES256-SHA384:AES128-SHA:ECDHE-RSA-AES128-SHA256'],
      ['-tls1_2', '-cipher', 'NULL:eNULL:@SECLEVEL=0'],
      ['-tls1_2', '-cipher', 'AES256-GCM-SHA384'],
    ]) {
      expect(await sClient(...args), args.join(' ')).toMatch(/alert (protocol version|handshake failure)/);
    }
    await until(() => reasons.length === 4);
    expect(reasons[0]).toContain('no version of TLS from 1.2 on');
    expect(reasons[1]).toContain('no cipher suite of our profile');
    expect(inside).toEqual([]);
  });

  it('speaks every suite of PS3.15 B.10, and TLS 1.3', async () => {
    await listen();
    for (const suite of [
      'DHE-RSA-AES128-GCM-SHA256',
      'ECDHE-RSA-AES128-GCM-SHA256',
      'DHE-RSA-AES256-GCM-SHA384',
      'ECDHE-RSA-AES256-GCM-SHA384',
    ]) {
      const output = await sClient('-tls1_2', '-cipher', suite);
      expect(output).toContain(`Cipher is ${suite}`);
      expect(output).toMatch(/Verify return code: 0/);
    }
    expect(await sClient()).toContain('New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256');
    expect(await sClient('-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256')).toContain(
      'Cipher is TLS_CHACHA20',
    );
  });

  it('with the extended profile speaks no suite and no group beside it', async () => {
    await site.close();
    site = await makeTlsSite('extended');
    await listen();
    expect(await sClient('-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256')).toMatch(/alert/);
    expect(await sClient('-tls1_2', '-cipher', 'ECDHE-RSA-CHACHA20-POLY1305')).toMatch(/alert/);
    expect(await sClient('-tls1_2', '-groups', 'X25519')).not.toContain('ECDHE');
    expect(await sClient('-groups', 'X25519')).toMatch(/alert/);
    expect(await sClient('-groups', 'P-256')).toContain('Cipher is TLS_AES_128_GCM_SHA256');
    expect(await sClient('-tls1_2')).toContain('Cipher is ECDHE-RSA-AES128-GCM-SHA256');
  });

  it('neither renegotiates nor goes on with a session', async () => {
    await listen();
    expect(await sClient('-tls1_2')).not.toContain('TLS session ticket:');
    const client = await site.authority.issue();
    const cert = { cert: client.certificate, key: client.privateKey };
    const again = connect({
      host: '127.0.0.1',
      port: port(),
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
      ...cert,
    });
    callers.push(again);
    expect(await firstWord(again)).toBe(WELCOME);
    again.renegotiate({ rejectUnauthorized: false }, () => undefined);
    expect(await once(again, 'error')).toMatchObject([{ code: 'ERR_SSL_NO_RENEGOTIATION' }]);
    const sessions: Buffer[] = [];
    const first = connect({ host: '127.0.0.1', port: port(), rejectUnauthorized: false, ...cert });
    callers.push(first);
    first.on('session', (session) => sessions.push(session));
    expect(await firstWord(first)).toBe(WELCOME);
    for (const session of sessions) {
      const second = connect({
        host: '127.0.0.1',
        port: port(),
        rejectUnauthorized: false,
        ...cert,
        session,
      });
      callers.push(second);
      await once(second, 'secureConnect');
      expect(second.isSessionReused()).toBe(false);
    }
  });

  it('tells a modality that is set to plain DICOM', async () => {
    await listen();
    const caller = callPlain();
    caller.write(Buffer.from('0100000000c80001', 'hex'));
    await once(caller, 'close');
    expect(reasons[0]).toContain('is set to plain DICOM');
  });

  it('gives up a handshake that never ends, dripping or not', async () => {
    await listen({ handshakeTimeoutMs: 1_000 });
    const silent = callPlain();
    const dripping = callPlain();
    const hello = Buffer.from('160301020001000 1fc0303'.replace(' ', ''), 'hex');
    let sent = 0;
    const drip = setInterval(() => {
      sent += 1;
      if (dripping.writable) dripping.write(hello.subarray(sent - 1, sent));
    }, 120);
    await Promise.all([once(silent, 'close'), once(dripping, 'close')]);
    clearInterval(drip);
    expect(reasons).toContain('it did not finish its handshake in time');
    expect(await call(await site.authority.issue())).toBe(WELCOME);
  });

  it('closes the oldest handshake that is not finished for the next caller, when no place is left', async () => {
    await listen({ maxConnections: 2, handshakeTimeoutMs: 30_000 });
    const oldest = callPlain();
    await once(oldest, 'connect');
    const other = callPlain();
    await once(other, 'connect');
    const closed = once(oldest, 'close');
    expect(await call(await site.authority.issue())).toBe(WELCOME);
    await closed;
    expect(other.destroyed).toBe(false);
  });

  it('ends unfinished handshakes when it closes', async () => {
    await listen();
    const caller = callPlain();
    await once(caller, 'connect');
    await until(() => new Promise((resolve) => setImmediate(() => resolve(true))));
    listener.close();
    await once(caller, 'close');
  });

  it('shows a replaced certificate to the next caller, and does not disturb the one inside', async () => {
    const dicomTls = await listen();
    const client = await site.authority.issue();
    expect(await call(client)).toBe(WELCOME);
    const next = await site.authority.issue({ key: 'rsa' });
    await site.install('own', next);
    await until(() => dicomTls.fingerprint() === next.fingerprint);
    const later = connect({
      host: '127.0.0.1',
      port: port(),
      rejectUnauthorized: false,
      cert: client.certificate,
      key: client.privateKey,
    });
    callers.push(later);
    await once(later, 'secureConnect');
    expect(later.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(
      next.fingerprint,
    );
    const [before] = callers;
    const heard = once(before as Socket, 'data');
    inside[0]?.write('still here');
    expect(String((await heard)[0])).toBe('still here');
  });

  it('goes on with what it had when the new file is broken, and says so once', async () => {
    const dicomTls = await listen();
    const told = () => site.logged.filter(({ event }) => event === 'dicom_tls.unusable');
    await writeFile(site.file('own.pem'), 'half a certificate');
    await until(() => told().length > 0);
    expect(await call(await site.authority.issue())).toBe(WELCOME);
    expect(dicomTls.fingerprint()).toBe(site.own.fingerprint);
    // A certificate whose key has not come yet is broken as well, until it has.
    const next = await site.authority.issue({ key: 'rsa' });
    await writeFile(site.file('own.pem'), next.certificate);
    await until(() => told().length === 2);
    await writeFile(site.file('own.key'), next.privateKey);
    await until(() => dicomTls.fingerprint() === next.fingerprint);
    expect(told()).toHaveLength(2);
  });

  it('does not start with files that do not fit together, or hold nothing', async () => {
    const other = await site.authority.issue();
    await writeFile(site.file('own.key'), other.privateKey);
    await expect(site.open()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await site.install('own', site.own);
    for (const useless of ['nothing', other.certificate]) {
      await writeFile(site.file('ca.pem'), useless);
      await expect(site.open()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    }
  });
});

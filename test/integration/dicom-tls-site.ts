/** A site's TLS files in a folder of its own, and DICOM over TLS by them. For tests. */
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DicomTls, type DicomTlsOptions, openDicomTls } from '../../src/dimse/dicom-tls.js';
import type { TlsFiles } from '../../src/dimse/dicom-tls-material.js';
import type { DicomTlsProfile } from '../../src/dimse/dicom-tls-profile.js';
import type { Log, LogFields } from '../../src/observe/log.js';
import { makeAuthority, type TestAuthority } from '../support/certificate-authority.js';
import type { TestCertificate } from '../support/certificates.js';

export type Logged = LogFields & { readonly event: string };

export interface TlsSite {
  readonly folder: string;
  /** Vouches for both ends. */
  readonly authority: TestAuthority;
  readonly own: TestCertificate;
  readonly files: TlsFiles;
  readonly logged: readonly Logged[];
  readonly log: Log;
  file(name: string): string;
  /** Writes NAME.pem and NAME.key, whole. */
  install(name: string, certificate: TestCertificate): Promise<void>;
  /** Its files are looked at often, so that no test waits. */
  open(options?: Partial<DicomTlsOptions>): Promise<DicomTls>;
  close(): Promise<void>;
}

/** Its own certificate is `own.pem`; an RSA one, since that is what older modalities know. */
export async function makeTlsSite(profile: DicomTlsProfile = 'bcp195'): Promise<TlsSite> {
  const folder = await mkdtemp(join(tmpdir(), 'drawbridge-dicom-tls-'));
  const authority = await makeAuthority();
  const own = await authority.issue({ key: 'rsa' });
  const opened: DicomTls[] = [];
  const logged: Logged[] = [];
  const log = logTo(logged);
  const file = (name: string) => join(folder, name);
  const write = async (name: string, text: string) => {
    await writeFile(file(`${name}.new`), text);
    await rename(file(`${name}.new`), file(name));
  };
  const install = async (name: string, { certificate, privateKey }: TestCertificate) => {
    await write(`${name}.key`, privateKey);
    await write(`${name}.pem`, certificate);
  };
  await write('ca.pem', authority.certificate);
  await install('own', own);
  const files: TlsFiles = {
    profile,
    certificate: async () => ({
      certificate: await readFile(file('own.pem'), 'utf8'),
      privateKey: await readFile(file('own.key'), 'utf8'),
    }),
    certificateFiles: [file('own.pem'), file('own.key')],
    caFile: file('ca.pem'),
  };
  return {
    folder,
    authority,
    own,
    files,
    logged,
    log,
    file,
    install,
    async open(options = {}) {
      const dicomTls = await openDicomTls({
        files,
        pins: [],
        clientCertificates: 'required',
        log,
        lookEveryMs: 25,
        ...options,
      });
      opened.push(dicomTls);
      return dicomTls;
    },
    async close() {
      for (const each of opened) each.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function logTo(lines: Logged[]): Log {
  const write = (fields: Logged) => void lines.push(fields);
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
  return log;
}

/** DICOM over TLS by the settings of `dimse.tls`; where those name no certificate, by the one that HTTPS has. */
import { stat } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { usesDicomTls } from '../config/check.js';
import type { Settings } from '../config/settings.js';
import { type DicomTls, openDicomTls } from '../dimse/dicom-tls.js';
import { readAuthorities, readTlsMaterial, type TlsFiles } from '../dimse/dicom-tls-material.js';
import type { AeAddress } from '../domain/ae-title.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { passphraseFrom } from '../trust/key-encryption.js';
import { readTlsIdentity, TLS_FILE } from '../trust/key-tls.js';

const A_LIST = 'a list of dimse.tls.crlFile';

/** Opens the connection for an association that we ask for. */
export type Connect = (to: AeAddress) => Socket;

/**
 * undefined where nothing uses it.
 * @param keysFolder where our own keys lie
 * @throws CONFIG_INVALID, KEY_UNREADABLE, KEY_LOCKED
 */
export async function openSiteDicomTls(
  settings: Settings,
  keysFolder: string,
  log: Log,
): Promise<DicomTls | undefined> {
  return usesDicomTls(settings) ? openConfiguredDicomTls(settings, keysFolder, log) : undefined;
}

/** The same where somebody asks for it, whatever the config does with it. */
export function openConfiguredDicomTls(settings: Settings, keysFolder: string, log: Log): Promise<DicomTls> {
  const { certificateFingerprints, clientCertificates } = settings.dimse.tls;
  return openDicomTls({
    files: filesOf(settings, keysFolder),
    pins: certificateFingerprints,
    clientCertificates,
    log,
  });
}

/**
 * Reads the files as a start would; our own certificate may be yet to be made.
 * @throws CONFIG_INVALID (also for a certificate that has expired), KEY_UNREADABLE, KEY_LOCKED
 */
export async function checkDicomTls(settings: Settings, keysFolder: string): Promise<void> {
  if (!usesDicomTls(settings)) return;
  const files = filesOf(settings, keysFolder);
  const own = join(keysFolder, TLS_FILE);
  const isYetToBeMade = files.certificateFiles.includes(own) && !(await isThere(own));
  if (isYetToBeMade) {
    await readAuthorities(files.caFile);
    assertNotExpired(A_LIST, (await files.revocations?.())?.expiresAtMs);
    return;
  }
  const { expiresAtMs, crlExpiresAtMs } = await readTlsMaterial(files);
  assertNotExpired('the certificate of dimse.tls', expiresAtMs);
  assertNotExpired(A_LIST, crlExpiresAtMs);
}

function assertNotExpired(what: string, expiresAtMs = Number.POSITIVE_INFINITY): void {
  if (expiresAtMs > Date.now()) return;
  throw new GatewayError('CONFIG_INVALID', `${what} has expired at ${new Date(expiresAtMs).toISOString()}`);
}

/** Connects to a remote AE that is called with TLS; undefined for one that is not. */
export function connectorTo(
  remote: { readonly tls: boolean },
  dicomTls: DicomTls | undefined,
): Connect | undefined {
  if (!remote.tls) return undefined;
  if (dicomTls === undefined) throw new GatewayError('FAULT', 'DICOM over TLS was not opened');
  return (to) => dicomTls.connect(to);
}

function filesOf({ dimse, https, keys }: Settings, keysFolder: string): TlsFiles {
  const { profile, caFile, crlFile } = dimse.tls;
  const own = dimse.tls.certFile === undefined ? https : dimse.tls;
  const named = [own.certFile, own.keyFile].flatMap((path) => path ?? []);
  const passphrase = passphraseFrom(keys);
  return {
    profile,
    certificate: async () => readTlsIdentity(keysFolder, own, await passphrase()),
    certificateFiles: named.length > 0 ? named : [join(keysFolder, TLS_FILE)],
    ...(caFile === undefined ? {} : { caFile }),
    ...(crlFile === undefined
      ? {}
      : {
          crlFile,
          // Few need it, and it takes its memory.
          revocations: async () => (await import('../trust/revocations.js')).readRevocations(crlFile),
        }),
  };
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/**
 * What TLS for DICOM is made of (our certificate and key, the CAs of the others), from files that are read again when
 * they change. What is new counts for the handshakes that follow; what cannot be used is told in the log, and what was
 * there before goes on.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { plainFingerprint } from '../domain/fingerprint.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { type DicomTlsProfile, profileOptions } from './dicom-tls-profile.js';

/** Our certificate chain and its key, PEM; the key without a passphrase. */
export interface TlsCertificate {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface TlsFiles {
  readonly profile: DicomTlsProfile;
  /** Reads our certificate anew. */
  readonly certificate: () => Promise<TlsCertificate>;
  /** The files that `certificate` reads. */
  readonly certificateFiles: readonly string[];
  /** PEM of the CAs that vouch for others; absent: none does. */
  readonly caFile?: string;
  /** Reads the revocation lists of all of these CAs anew; absent: what a CA has signed is good until it expires. */
  readonly revocations?: () => Promise<Revocations>;
  /** The file that `revocations` reads. */
  readonly crlFile?: string;
}

/** Certificate revocation lists (RFC 5280 §5). */
export interface Revocations {
  /** PEM of each. */
  readonly lists: readonly string[];
  /** When the first of them is to be replaced (nextUpdate), in ms since 1970: from then on its CA vouches for nobody. */
  readonly expiresAtMs: number;
}

export interface TlsMaterial {
  readonly options: SecureContextOptions;
  readonly context: SecureContext;
  /** Of our certificate. */
  readonly fingerprint: string;
  readonly expiresAtMs: number;
  /** Of the first revocation list that is to be replaced. */
  readonly crlExpiresAtMs?: number;
}

export interface LiveTlsMaterial {
  /** As it is now; not to be kept. */
  current(): TlsMaterial;
  close(): void;
}

export interface TlsMaterialOptions {
  readonly files: TlsFiles;
  readonly log: Log;
  /** Called after `current` has changed. */
  readonly changed?: (material: TlsMaterial) => void;
  /** How often files are looked at, in milliseconds. Default 2 000. */
  readonly lookEveryMs?: number;
}

const LOOK_EVERY_MS = 2_000;
const EXPIRES_SOON_MS = 30 * 86_400_000;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Reads all files once, and checks that they fit together.
 * @throws CONFIG_INVALID, KEY_UNREADABLE, KEY_LOCKED
 */
export async function readTlsMaterial(files: TlsFiles): Promise<TlsMaterial> {
  const [{ certificate, privateKey }, authorities, revocations] = await Promise.all([
    files.certificate(),
    readAuthorities(files.caFile),
    files.revocations?.(),
  ]);
  const [own] = parseCertificates(certificate, 'the certificate of dimse.tls');
  if (own === undefined) throw new GatewayError('CONFIG_INVALID', 'the certificate of dimse.tls is empty');
  if (!own.checkPrivateKey(parseKey(privateKey))) {
    throw new GatewayError(
      'CONFIG_INVALID',
      'the certificate and the private key of dimse.tls do not belong together',
    );
  }
  const options: SecureContextOptions = {
    ...profileOptions(files.profile),
    cert: certificate,
    key: privateKey,
    // Without any, half the world would be vouched for by the CAs that come with Node.
    ca: authorities,
    ...(revocations === undefined ? {} : { crl: [...revocations.lists] }),
  };
  try {
    return {
      options,
      context: createSecureContext(options),
      fingerprint: plainFingerprint(own.fingerprint256),
      expiresAtMs: Date.parse(own.validTo),
      ...(revocations === undefined ? {} : { crlExpiresAtMs: revocations.expiresAtMs }),
    };
  } catch (cause) {
    throw new GatewayError('CONFIG_INVALID', 'the certificates of dimse.tls cannot be used for TLS', {
      cause,
    });
  }
}

/**
 * Reads the files, and goes on looking at them until `close`.
 * @throws what `readTlsMaterial` throws, at the start alone
 */
export async function watchTlsMaterial(options: TlsMaterialOptions): Promise<LiveTlsMaterial> {
  const { files, log } = options;
  const watched = [...files.certificateFiles, ...[files.caFile, files.crlFile].flatMap((path) => path ?? [])];
  let seen = await stampOf(watched);
  let failing: string | undefined;
  let current = await readTlsMaterial(files);
  let looking = false;
  tell(log, current);

  const look = async () => {
    const stamp = await stampOf(watched);
    if (stamp === seen) return;
    try {
      current = await readTlsMaterial(files);
    } catch (error) {
      // The key may come a moment after its certificate: what still fails at the next look is told, once.
      if (failing === stamp) {
        seen = stamp;
        const { code, message } = toGatewayError(error);
        log.error(
          { event: 'dicom_tls.unusable', code, fingerprint: current.fingerprint },
          `${message}; the certificate that was there before goes on`,
        );
      }
      failing = stamp;
      return;
    }
    seen = stamp;
    failing = undefined;
    tell(log, current);
    options.changed?.(current);
  };
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    look()
      .catch((error: unknown) => log.error({ event: 'dicom_tls.unwatched', reason: String(error) }))
      .finally(() => {
        looking = false;
      });
  }, options.lookEveryMs ?? LOOK_EVERY_MS);
  timer.unref();
  return { current: () => current, close: () => clearInterval(timer) };
}

function tell(log: Log, { fingerprint, expiresAtMs, crlExpiresAtMs }: TlsMaterial): void {
  const fields = {
    fingerprint,
    expiresAt: new Date(expiresAtMs).toISOString(),
    ...(crlExpiresAtMs === undefined || crlExpiresAtMs === Number.POSITIVE_INFINITY
      ? {}
      : { crlExpiresAt: new Date(crlExpiresAtMs).toISOString() }),
  };
  log.info({ event: 'dicom_tls.loaded', ...fields });
  const leftMs = expiresAtMs - Date.now();
  if (leftMs <= 0) log.error({ event: 'dicom_tls.expired', ...fields }, 'our certificate has expired');
  else if (leftMs < EXPIRES_SOON_MS) log.warn({ event: 'dicom_tls.expires_soon', ...fields });
  if (crlExpiresAtMs !== undefined && crlExpiresAtMs <= Date.now())
    log.error(
      { event: 'dicom_tls.crl_expired', ...fields },
      'a list of dimse.tls.crlFile has expired: what its CA has signed is refused',
    );
}

/** PEM of each. @throws CONFIG_INVALID */
export async function readAuthorities(path: string | undefined): Promise<string[]> {
  if (path === undefined) return [];
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new GatewayError('CONFIG_INVALID', `dimse.tls.caFile cannot be read: ${path}`, { cause });
  }
  const what = `dimse.tls.caFile, ${path},`;
  const authorities = parseCertificates(text, what);
  // A chain that ends in the middle proves nothing to OpenSSL.
  if (!authorities.some((each) => each.checkIssued(each))) {
    throw new GatewayError(
      'CONFIG_INVALID',
      `${what} holds no root CA: it needs the chain of the CA up to the certificate that is signed by itself`,
    );
  }
  return authorities.map((certificate) => certificate.toString());
}

/** @throws CONFIG_INVALID when there is none, or one that is broken: OpenSSL would pass over both in silence */
function parseCertificates(pem: string, what: string): readonly X509Certificate[] {
  try {
    const found = [...pem.matchAll(PEM_CERTIFICATE)].map(([text]) => new X509Certificate(text));
    if (found.length > 0) return found;
  } catch (cause) {
    throw new GatewayError('CONFIG_INVALID', `${what} holds a certificate that cannot be read`, { cause });
  }
  throw new GatewayError('CONFIG_INVALID', `${what} holds no certificate in PEM`);
}

function parseKey(pem: string) {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new GatewayError('CONFIG_INVALID', 'the private key of dimse.tls cannot be read', { cause });
  }
}

/** Changes whenever one of the files does: also when it is replaced by another of the same time and length. */
async function stampOf(paths: readonly string[]): Promise<string> {
  const stamps = await Promise.all(
    paths.map(async (path) => {
      const found = await stat(path).catch(() => undefined);
      return found === undefined ? 'none' : [found.ino, found.size, found.mtimeMs, found.ctimeMs].join();
    }),
  );
  return stamps.join(' ');
}

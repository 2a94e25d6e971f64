/**
 * The directory, where one is configured: looks up what it attests of peers whose config says so, and of ourselves, and
 * keeps it in the peer book. When it is away, what it said last goes on until its term ends; without any directory,
 * everything else goes on as it is. It never touches a pin of the config, and is not asked when an envelope is opened.
 */
import type { KeyObject } from 'node:crypto';
import type { Settings } from '../config/settings.js';
import type { Clock } from '../domain/clock.js';
import { type GatewayError, toGatewayError } from '../errors/gateway-error.js';
import type { DirectoryAttestation } from '../jmix/assertion.js';
import { keyFingerprint } from '../jmix/raw-keys.js';
import type { Log } from '../observe/log.js';
import type { ClientIdentity } from '../transport/client-identity.js';
import { createDirectoryClient, type DirectoryClient } from '../transport/https/directory.js';
import { attestsSigner, readAttestation } from '../trust/attestation.js';
import { readCa } from '../trust/config-files.js';
import { parsePublicKey } from '../trust/key-files.js';
import type { PeerBook } from '../trust/peer-book.js';
import type { SiteKeys } from '../trust/site-keys.js';

export interface Directory {
  /** Of ourselves, for our assertions; undefined where there is none, or it has ended, or names another key. */
  own(): DirectoryAttestation | undefined;
  /** Who attests that this key (fingerprint) is the sender's; undefined when nobody does whom we know. */
  attester(jws: string, siteId: string, fingerprint: string): string | undefined;
  /** Asks anew for everyone whose entry is wanted. What fails is logged, and changes nothing. */
  lookUp(signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface DirectoryParts {
  readonly settings: Pick<Settings, 'site' | 'peers' | 'directory'>;
  readonly peers: Pick<PeerBook, 'listed' | 'noteListed'>;
  readonly keys: Pick<SiteKeys, 'signing'>;
  readonly identity: ClientIdentity;
  readonly clock: Clock;
  readonly log: Log;
}

/** @throws CONFIG_INVALID when the CA file cannot be read, KEY_UNREADABLE for a bad key */
export async function openDirectory(parts: DirectoryParts): Promise<Directory> {
  const { settings, peers, clock, log } = parts;
  const { site, directory } = settings;
  const keys = directory.keys.map((key) => parsePublicKey(key, 'signing'));
  const client = await openClient(directory, parts.identity);
  const wanted = [site.id, ...settings.peers.filter((peer) => peer.directory).map(({ id }) => id)];

  const lookUpOne = async (asked: DirectoryClient, siteId: string, signal: AbortSignal) => {
    const jws = await asked.lookUp(siteId, signal);
    if (jws === undefined) {
      log.warn({ event: 'directory.unlisted', site: siteId });
      return;
    }
    const attestation = readAttestation(jws, { keys, siteId, nowMs: clock.now() });
    await peers.noteListed(siteId, jws.toString('latin1').trim(), attestation);
  };

  return {
    own() {
      const jws = peers.listed(site.id);
      if (jws === undefined) return undefined;
      return ownAttestation(jws, keys, site.id, keyFingerprint(parts.keys.signing.publicKey), clock.now());
    },
    attester(jws, siteId, fingerprint) {
      try {
        const attestation = readAttestation(Buffer.from(jws), { keys, siteId, nowMs: clock.now() });
        return attestsSigner(attestation, fingerprint) ? attestation.provider : undefined;
      } catch {
        return undefined;
      }
    },
    async lookUp(signal) {
      if (client === undefined) return;
      for (const siteId of wanted) {
        if (signal.aborted) return;
        await lookUpOne(client, siteId, signal).catch((raw: unknown) => {
          const error: GatewayError = toGatewayError(raw);
          if (!signal.aborted)
            log.warn({ event: 'directory.failed', site: siteId, code: error.code }, error.message);
        });
      }
    },
    close: () => client?.close(),
  };
}

async function openClient(
  { url, certificateFingerprints, caFile }: Settings['directory'],
  identity: ClientIdentity,
): Promise<DirectoryClient | undefined> {
  if (url === undefined) return undefined;
  const trust = {
    certificateFingerprints,
    ...(caFile === undefined ? {} : { certificateAuthority: await readCa('directory: the caFile', caFile) }),
  };
  return createDirectoryClient(url, trust, identity);
}

/** Good for as long as it lasts, and for the key that we sign with: after a rotation the directory has to follow. */
function ownAttestation(
  jws: string,
  keys: readonly KeyObject[],
  siteId: string,
  signer: string,
  nowMs: number,
): DirectoryAttestation | undefined {
  try {
    const attestation = readAttestation(Buffer.from(jws), { keys, siteId, nowMs });
    const key = keys.find((each) => keyFingerprint(each) === attestation.signedBy);
    if (key === undefined || !attestsSigner(attestation, signer)) return undefined;
    return { provider: attestation.provider, jws, issuedAtMs: attestation.issuedAtMs, key };
  } catch {
    return undefined;
  }
}

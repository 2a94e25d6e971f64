/** The names inside an envelope folder `<id>.JMIX/` (JMIX envelope), and which of them an archive may hold. */

import { CANON, RS } from './dialect.js';

export const MANIFEST_FILE = 'manifest.json';
export const MANIFEST_JWS = 'manifest.jws';
export const AUDIT_FILE = 'audit.json';
/** By the specification; jmix-rs has a name of its own. */
export const SEALED_PAYLOAD = CANON.sealedFileName;
export const SEALED_PAYLOAD_RS = RS.sealedFileName;
/** In the spool: the whole envelope as one OpenPGP message, which travels alone; the documents beside it are copies. */
export const OPENPGP_MESSAGE = 'message.gpg';
/** The folder of a payload that is not sealed. */
export const PLAIN_PAYLOAD = 'payload';
/** jmix-rs puts one in; it says nothing, and is left out on unpacking. */
export const README_FILE = 'README.md';

/** In the order in which an archive is written: what decides comes first. */
export const ENVELOPE_FILES: readonly string[] = [
  MANIFEST_FILE,
  MANIFEST_JWS,
  AUDIT_FILE,
  SEALED_PAYLOAD,
  SEALED_PAYLOAD_RS,
];

/** Names for sealed payloads; an envelope has at most one of them. */
export const SEALED_PAYLOADS: readonly string[] = [SEALED_PAYLOAD, SEALED_PAYLOAD_RS];

/** The folder of an envelope. */
export function envelopeFolderName(id: string): string {
  return `${id}.JMIX`;
}

/** A zip, while an envelope is taken out of it into the same folder: no file of an envelope is called so. */
export const ZIP_MEANWHILE = '.zip';

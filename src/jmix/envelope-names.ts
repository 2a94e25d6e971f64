/** The names inside an envelope folder `<id>.JMIX/` (JMIX envelope), and which of them an archive may hold. */

export const MANIFEST_FILE = 'manifest.json';
export const MANIFEST_JWS = 'manifest.jws';
export const AUDIT_FILE = 'audit.json';
/** By the specification; jmix-rs calls it `payload.enc`. */
export const SEALED_PAYLOAD = 'payload.encrypted';
export const SEALED_PAYLOAD_RS = 'payload.enc';
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

/** SHA-256 fingerprints of certificates as the bridge writes and compares them: 64 lower hex digits. */

/** @param shown as TLS and openssl show it: `AB:CD:…`; undefined gives '' */
export function plainFingerprint(shown: string | undefined): string {
  return (shown ?? '').replaceAll(':', '').toLowerCase();
}

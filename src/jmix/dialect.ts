/**
 * Every choice that the JMIX specification leaves open, or that its libraries make differently, as one record per
 * dialect. `canon` is the profile this bridge writes by default: the specification's own words wherever it says
 * something, and jmix-php's choice where it is silent, so that at least one library in the field opens what we seal.
 * The other three are written for a receiver whose software knows nothing else. Reading knows all four; which one an
 * envelope is in is recognised, never configured.
 *
 * A record holds what the library's reader insists on, and no more: where a library writes less than its reader takes
 * (an assertion that leaves the payload out, no signature at all, the patient in the manifest), we write our own. Every
 * envelope of ours carries manifest.jws, which covers the payload whatever the dialect.
 */
import type { DialectName } from '../domain/peer.js';

export type { DialectName };

/** The four definitions of `security.payload_hash` in use; payload-hash.ts computes them. */
export type PayloadHashRule = 'sha256-ciphertext' | 'sha256-tar' | 'tree-lines' | 'tree-concat';

/** Those that a sealed payload's hash can follow: `tree-lines` needs folders, which our tar has none of. */
export type SealedPayloadHashRule = Exclude<PayloadHashRule, 'tree-lines'>;

export interface Dialect {
  readonly name: DialectName;
  /** HKDF `info` (RFC 5869 §3.2), ASCII without a final NUL. Unspecified; it alone makes the dialects strangers. */
  readonly hkdfInfo: string;
  readonly sealedFileName: 'payload.encrypted' | 'payload.enc';
  /** What stands before every name in the payload tar. */
  readonly tarRoot: '' | 'payload/';
  readonly sealedPayloadHash: SealedPayloadHashRule;
  readonly plainPayloadHash: PayloadHashRule;
  /** The order of the paths under a tree hash, and in our tar; they differ only beyond U+FFFF. */
  readonly pathOrder: 'bytes' | 'utf16';
  /** `js`: jmix_version, envelope_id, created_at, receivers; and metadata.json by no schema. */
  readonly manifestKeys: 'specification' | 'js';
  /** Blanks per level in manifest.json: the only visible difference between canon and php envelopes. */
  readonly manifestIndent: 2 | 4;
  /** `hash` in files.json; `none`: there is no files.json. */
  readonly filesListHash: 'bare' | 'prefixed' | 'none';
  /**
   * What the sender assertion signs; manifest paths with dots, `*` for each receiver, the encryption block only where
   * there is one. Empty: no assertion. Only paths to scalars, so that every canonical form in use gives the same bytes
   * to sign.
   */
  readonly assertedFields: readonly string[];
  /** The header of manifest.jws, before `kid`. */
  readonly jwsHeader: Readonly<Record<string, string>>;
  readonly firstAuditEvent: string;
  /** Whether one envelope may be for several receivers: the libraries know no more than the one encryption block. */
  readonly severalRecipients: boolean;
}

export const CANON: Dialect = {
  name: 'canon',
  hkdfInfo: 'JMIX-payload-encryption',
  sealedFileName: 'payload.encrypted',
  tarRoot: '',
  sealedPayloadHash: 'sha256-ciphertext',
  plainPayloadHash: 'tree-lines',
  pathOrder: 'bytes',
  manifestKeys: 'specification',
  manifestIndent: 2,
  filesListHash: 'bare',
  assertedFields: [
    'id',
    'timestamp',
    'sender.id',
    'sender.name',
    'receiver.*.id',
    'security.payload_hash',
    'security.encryption.ephemeral_public_key',
    'security.encryption.iv',
    'security.encryption.auth_tag',
    // So that nobody takes the JWS away, under which the rest of the manifest stands.
    'security.jws.jws_file',
  ],
  jwsHeader: { alg: 'EdDSA', typ: 'JWS' },
  firstAuditEvent: 'created',
  severalRecipients: true,
};

/**
 * jmix-php 0.4. Its own assertions bind nothing unless their paths start with `manifest.`, and it takes none that bind
 * otherwise (see assertion.ts), so the JWS signs alone.
 */
export const PHP: Dialect = {
  ...CANON,
  name: 'php',
  manifestIndent: 4,
  filesListHash: 'prefixed',
  assertedFields: [],
  jwsHeader: { alg: 'EdDSA', typ: 'JWT' },
  severalRecipients: false,
};

/**
 * jmix-rs 0.3, also inside harmony 0.4. By default it asserts `sender.id`, `sender.name`, `manifest.id` and `timestamp`,
 * under which the payload can be exchanged; it verifies any path that leads somewhere, so we sign the canonical ones.
 */
export const RS: Dialect = {
  ...CANON,
  name: 'rs',
  hkdfInfo: 'JMIX-AES256-GCM',
  sealedFileName: 'payload.enc',
  sealedPayloadHash: 'sha256-tar',
  plainPayloadHash: 'tree-concat',
  filesListHash: 'prefixed',
  jwsHeader: { alg: 'EdDSA', typ: 'JWS', crv: 'Ed25519' },
  severalRecipients: false,
};

/** jmix-js 0.2. It knows no signatures: assertions would be nothing to it, the JWS is for those who look. */
export const JS: Dialect = {
  ...CANON,
  name: 'js',
  hkdfInfo: 'JMIX-Payload-Encryption',
  tarRoot: 'payload/',
  sealedPayloadHash: 'tree-concat',
  plainPayloadHash: 'tree-concat',
  pathOrder: 'utf16',
  manifestKeys: 'js',
  filesListHash: 'none',
  assertedFields: [],
  firstAuditEvent: 'envelope_created',
  severalRecipients: false,
};

/** In the order in which reading tries them. */
export const DIALECTS: readonly Dialect[] = [CANON, PHP, RS, JS];

/** The record of that name. */
export const DIALECT_OF: Readonly<Record<DialectName, Dialect>> = { canon: CANON, js: JS, rs: RS, php: PHP };

/** The HKDF infos in use, each once: canon and php share theirs. */
export const HKDF_INFOS: readonly string[] = [...new Set(DIALECTS.map((dialect) => dialect.hkdfInfo))];

/** What an envelope shows of its dialect. */
export interface DialectTraits {
  readonly manifestKeys: Dialect['manifestKeys'];
  readonly manifestIndent: number;
  /** The info whose key fitted; of a sealed payload only. */
  readonly hkdfInfo?: string;
  /** The rule that `payload_hash` followed; absent when there was no hash. */
  readonly payloadHashRule?: PayloadHashRule;
  /** `sha256:skipped` stood in its place, which only jmix-rs writes. */
  readonly payloadHashSkipped: boolean;
}

/**
 * The dialect that fits best; `canon` when nothing speaks against it. Between canon and php only the manifest's blanks
 * decide, so one that was written anew on its way may count as the other: both are opened alike.
 */
export function recogniseDialect(traits: DialectTraits): Dialect {
  if (traits.hkdfInfo !== undefined) {
    const fitting = DIALECTS.filter((dialect) => dialect.hkdfInfo === traits.hkdfInfo);
    return fitting.find((dialect) => dialect.manifestIndent === traits.manifestIndent) ?? fitting[0] ?? CANON;
  }
  if (traits.manifestKeys === 'js') return JS;
  if (traits.payloadHashSkipped || traits.payloadHashRule === RS.plainPayloadHash) return RS;
  return traits.manifestIndent === PHP.manifestIndent ? PHP : CANON;
}

/** The vectors of test/vectors/jmix as typed cases, with the table from their error words to our codes. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ErrorCode } from '../../../../src/errors/codes.js';
import type { JsonObject } from '../../../../src/jmix/strict-json.js';

export const VECTORS_FOLDER = fileURLToPath(new URL('../../../vectors/jmix/', import.meta.url));

export interface VectorFile {
  readonly path: string;
  readonly sha256: string;
  readonly size_bytes: number;
}

export interface Vector {
  readonly id: string;
  readonly dialect: 'canon' | 'js' | 'rs' | 'php';
  readonly packaging: 'folder' | 'zip' | 'tar.gz';
  /** Path from the vectors' folder. */
  readonly envelope: string;
  readonly keys: {
    readonly recipient_private_key?: string;
    readonly sender_assertion_public_key?: string;
    readonly jws_public_key?: string;
  };
  readonly derived_from?: string;
  readonly expect: {
    readonly open: string;
    readonly error?: string;
    readonly also_acceptable?: readonly string[];
    readonly dicom?: readonly VectorFile[];
    readonly other_files?: readonly VectorFile[];
    readonly checks?: Readonly<Record<string, string>>;
  };
}

interface RawKeyPair {
  readonly private: string;
  readonly public: string;
}

export interface KnownAnswers {
  readonly kdf: {
    readonly ephemeral_private: string;
    readonly ephemeral_public: string;
    readonly recipient_private: string;
    readonly recipient_public: string;
    readonly shared_secret_hex: string;
    readonly keys_hex: Readonly<Record<'js' | 'rs' | 'php', string>>;
    readonly info: Readonly<Record<'js' | 'rs' | 'php', string>>;
  };
  readonly aead: { readonly iv: string; readonly plaintext_utf8: string } & Readonly<
    Record<'js' | 'rs' | 'php', { readonly ciphertext: string; readonly auth_tag: string }>
  >;
  readonly payload_hash: {
    readonly files_utf8: Readonly<Record<string, string>>;
    readonly directories: readonly string[];
    readonly tree_concat: string;
    readonly tree_lines: string;
  };
  readonly assertion: {
    readonly manifest: JsonObject;
    readonly signed_fields: readonly string[];
    readonly signed_bytes_utf8: string;
    readonly seed: string;
    readonly signing_key: JsonObject;
    readonly signature: string;
  };
  readonly jws: { readonly payload_utf8: string; readonly seed: string; readonly jws: string };
}

interface VectorsDocument {
  readonly keys: Readonly<Record<'recipient_1' | 'recipient_2_wrong', RawKeyPair>>;
  readonly kat: KnownAnswers;
  readonly cases: readonly Vector[];
}

export const VECTORS = JSON.parse(readFileSync(`${VECTORS_FOLDER}vectors.json`, 'utf8')) as VectorsDocument;

/** What the vectors call a refusal, and what we call it. */
const CODE_OF: Readonly<Record<string, ErrorCode>> = {
  'manifest-missing': 'ENVELOPE_MALFORMED',
  'manifest-invalid': 'MANIFEST_INVALID',
  'payload-missing': 'ENVELOPE_MALFORMED',
  'ambiguous-payload': 'ENVELOPE_MALFORMED',
  'ambiguous-package': 'ENVELOPE_MALFORMED',
  'bad-encryption-params': 'ENCRYPTION_PARAMETERS_INVALID',
  'decrypt-failed': 'PAYLOAD_DECRYPT_FAILED',
  'archive-corrupt': 'ENVELOPE_MALFORMED',
  'unsafe-archive': 'ARCHIVE_UNSAFE',
  'payload-hash-mismatch': 'PAYLOAD_HASH_MISMATCH',
  'metadata-missing': 'METADATA_INVALID',
  'assertion-invalid': 'ASSERTION_INVALID',
  'assertion-expired': 'ASSERTION_EXPIRED',
  'assertion-untrusted': 'SIGNER_NOT_PINNED',
  'jws-invalid': 'ASSERTION_INVALID',
  'jws-manifest-mismatch': 'ASSERTION_INVALID',
};

/** Where we refuse on purpose what the vectors let open with a warning, and why. */
const STRICTER: Readonly<Record<string, ErrorCode>> = {
  // A files.json that does not fit its payload: both have lost an instance, and a bridge that delivered them would
  // report a study as complete that is not.
  'rs/encrypted-name-collision': 'PAYLOAD_INCONSISTENT',
  'rs/t-plain-hash-collision': 'PAYLOAD_INCONSISTENT',
  // The planted payload's metadata.json belongs to another envelope. (That of the canon vector does not, and opens.)
  'rs/t-encryption-stripped': 'PAYLOAD_INCONSISTENT',
  'php/t-encryption-stripped': 'PAYLOAD_INCONSISTENT',
};

/** The codes that may refuse the vector; empty when it must open. An unknown word stops the run. */
export function expectedCodes(vector: Vector): readonly ErrorCode[] {
  const stricter = STRICTER[vector.id];
  if (stricter !== undefined) return [stricter];
  const { open, error, also_acceptable = [] } = vector.expect;
  if (open === 'ok' && error === undefined) return [];
  if (open !== 'reject' || error === undefined) throw new Error(`${vector.id}: unknown expectation ${open}`);
  return [error, ...also_acceptable].map((word) => {
    const code = CODE_OF[word];
    if (code === undefined) throw new Error(`${vector.id}: unknown error word ${word}`);
    return code;
  });
}

/** Kind of vector by its name: honest, `t-` tampered, `x-` hostile tar, `pack-` archive around an envelope. */
export function vectorKind(vector: Vector): 'honest' | 'tampered' | 'hostile' | 'packed' {
  const name = vector.id.slice(vector.id.indexOf('/') + 1);
  if (name.startsWith('t-')) return 'tampered';
  if (name.startsWith('x-')) return 'hostile';
  return name.startsWith('pack-') ? 'packed' : 'honest';
}

export function fromBase64(text: string): Buffer {
  return Buffer.from(text, 'base64');
}

/**
 * A proof: the documents that show, without any bridge, what was sent, by whom, and that it was stored, as one folder of
 * plain files. What proves is signed by itself: manifest.jws, the steps in audit.json, the receipts. The rest only helps
 * to read it: `SHA256SUMS` finds damage, not forgery, and keys.json says where this site knows each key from. Whoever
 * verifies a proof decides by themselves which keys they trust.
 */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { GatewayError } from '../errors/gateway-error.js';
import { sha256Hex } from '../jmix/digest.js';
import { AUDIT_FILE, MANIFEST_FILE, MANIFEST_JWS } from '../jmix/envelope-names.js';
import { keyFingerprint, rawPublicKey } from '../jmix/raw-keys.js';

export const PROOF_FILES = {
  readme: 'README.txt',
  sums: 'SHA256SUMS',
  manifest: MANIFEST_FILE,
  jws: MANIFEST_JWS,
  audit: AUDIT_FILE,
  receipt: 'receipt.jws',
  refusal: 'refusal.jws',
  keys: 'keys.json',
  record: 'record.json',
} as const;

const KEY_FILE = /^keys\/[0-9a-f]{16}\.pem$/;
const ANNOUNCEMENT_FILE = /^announcements\/[0-9]{3}\.jws$/;
/** Three digits. */
export const MAX_ANNOUNCEMENT_FILES = 999;
const SUM_LINE = /^([0-9a-f]{64}) {2}(\S+)$/;

/** By name; the names are those of `isProofFile`. */
export type ProofFiles = ReadonlyMap<string, Buffer>;

/** A public key that signed something here. */
export interface ProofKey {
  readonly key: KeyObject;
  /** Whose it is, by what this site knows; absent when nobody here knows it. */
  readonly id?: string;
  /** `own`, or where the site has it from: `config`, `paired`, `announced` and so on; `unknown`. */
  readonly source: string;
  /** File names. */
  readonly signed: readonly string[];
}

const recordSchema = z.object({
  version: z.literal(1),
  /** Of the delivery or reception. */
  id: z.uuid(),
  role: z.enum(['sender', 'receiver']),
  exported_by: z.object({ id: z.string(), name: z.string() }),
  steps: z.array(z.object({ event: z.string(), at: z.iso.datetime() })),
});

/** What the exporting site notes itself; nobody else vouches for it. */
export type ProofRecord = z.infer<typeof recordSchema>;

export function formatRecord(record: ProofRecord): Buffer {
  return jsonFile(recordSchema.parse(record));
}

export function keyFileName(key: KeyObject): string {
  return `keys/${sha256Hex(rawPublicKey(key)).slice(0, 16)}.pem`;
}

export function formatProofKeys(keys: readonly ProofKey[]): Buffer {
  return jsonFile(
    keys.map(({ key, id, source, signed }) => ({
      fingerprint: keyFingerprint(key),
      public_key: rawPublicKey(key).toString('base64'),
      file: keyFileName(key),
      belongs_to: id ?? null,
      known_from: source,
      signed,
    })),
  );
}

export function isProofFile(name: string): boolean {
  const isFixed = Object.values<string>(PROOF_FILES).includes(name);
  return isFixed || KEY_FILE.test(name) || ANNOUNCEMENT_FILE.test(name);
}

/** The files with SHA256SUMS, as `sha256sum -c` reads it, sorted by name: of equal files always the same proof. */
export function sealProof(files: ProofFiles): ProofFiles {
  const sorted = [...files].sort(([one], [other]) => (one < other ? -1 : 1));
  const sums = sorted.map(([name, bytes]) => `${sha256Hex(bytes)}  ${name}\n`).join('');
  return new Map([...sorted, [PROOF_FILES.sums, Buffer.from(sums)]]);
}

/** @throws ENVELOPE_MALFORMED when a file is damaged, missing, or not on the list */
export function assertProofWhole(files: ProofFiles): void {
  const sums = files.get(PROOF_FILES.sums);
  if (sums === undefined) malformed(`${PROOF_FILES.sums} is missing`);
  const listed = new Map<string, string>();
  const lines = sums.toString('latin1').split('\n');
  if (lines.pop() !== '') malformed(`${PROOF_FILES.sums} cannot be read`);
  for (const line of lines) {
    const [, sha256, name] = SUM_LINE.exec(line) ?? [];
    if (sha256 === undefined || name === undefined || listed.has(name))
      malformed(`${PROOF_FILES.sums} cannot be read`);
    listed.set(name, sha256);
  }
  for (const [name, sha256] of listed) {
    const bytes = files.get(name);
    if (bytes === undefined) malformed(`${isProofFile(name) ? name : 'a file'} is missing`);
    if (sha256Hex(bytes) !== sha256) malformed(`${name} is damaged: it does not have the listed SHA-256`);
  }
  const unlisted = [...files.keys()].find((name) => name !== PROOF_FILES.sums && !listed.has(name));
  if (unlisted !== undefined) malformed(`${unlisted} is not listed in ${PROOF_FILES.sums}`);
}

function jsonFile(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
}

function malformed(message: string): never {
  throw new GatewayError('ENVELOPE_MALFORMED', `the proof is not whole: ${message}`);
}

/** README.txt of a proof: what it shows and how anybody verifies it, for people who have never heard of the bridge. */
import { formatTimestamp } from '../domain/clock.js';
import { plainText } from '../domain/plain-text.js';
import type { Manifest, ManifestEntity } from '../jmix/manifest.js';
import { parseCompactJws } from '../jmix/manifest-jws.js';
import { keyFingerprint } from '../jmix/raw-keys.js';
import { keyFileName, PROOF_FILES, type ProofFiles, type ProofKey } from './proof.js';

/** @param files all others that the proof has */
export function proofReadme(manifest: Manifest, files: ProofFiles, keys: readonly ProofKey[]): Buffer {
  const receivers = manifest.receivers.map(partyText).join(', ');
  const names = [...files.keys(), PROOF_FILES.sums];
  const signed = SIGNED.filter((name) => files.has(name));
  const text = [
    'PROOF OF AN ENVELOPE',
    '',
    `Envelope   ${manifest.id}`,
    `Sealed     ${sealedAt(manifest)}`,
    `Sender     ${partyText(manifest.sender)}`,
    `Receivers  ${receivers}`,
    '',
    ...WHAT_IS_HERE.filter(([start]) => names.some((name) => name.startsWith(start))).map(
      ([name, meaning]) => `${name.padEnd(18)} ${meaning}`,
    ),
    '',
    ...(manifest.keys === 'js' ? JS_WARNING : NO_PATIENT),
    '',
    'THE KEYS',
    '',
    'A signature proves only that the owner of a key has signed. Whose key it is, nobody but its owner can tell you: ask',
    'them for the fingerprint by another way (telephone, letter), and compare.',
    '',
    ...keys.flatMap(keyText),
    '',
    'VERIFY IT WITH DRAWBRIDGE',
    '',
    'Needs no config and no data folder. Give the keys that you trust; each counts for the party that you name:',
    '',
    `    drawbridge verify . ${signerOptions(keys)}`,
    '',
    'Nothing in here expires: each signature counts as of the day it was made. Should a key have been retired or revoked',
    'since, it is for you to judge whether that was before or after.',
    '',
    'VERIFY IT WITH OPENSSL ALONE',
    '',
    'OpenSSL 3 and a shell, in the folder of this file. First, that nothing is damaged:',
    '',
    `    sha256sum -c ${PROOF_FILES.sums}`,
    '    work=$(mktemp -d)',
    '',
    ...signed.flatMap((name) => opensslCommands(name, files, keys)),
    `Each receipt states the SHA-256 of ${PROOF_FILES.manifest} as "manifest_sha256", and for every instance its UID, its`,
    'SHA-256 and the answer of each PACS. It also holds the audit trail as the receiver was given it. Compare with:',
    '',
    `    openssl dgst -sha256 ${PROOF_FILES.manifest}`,
    '',
  ];
  return Buffer.from(`${text.join('\n')}\n`);
}

function sealedAt({ timestampMs }: Manifest): string {
  return Number.isNaN(timestampMs) ? 'at no time that a clock shows' : formatTimestamp(timestampMs);
}

function keyText({ key, id, source, signed }: ProofKey): readonly string[] {
  const owner = id === undefined ? 'an unknown party' : plainText(id);
  return [
    keyFileName(key),
    `    ${keyFingerprint(key)}`,
    `    belongs to ${owner}; known from: ${source}; signed ${signed.join(', ')}`,
  ];
}

function partyText({ id, name }: ManifestEntity): string {
  return plainText(name === undefined ? id : `${name} (${id})`);
}

const SIGNED: readonly string[] = [PROOF_FILES.jws, PROOF_FILES.receipt, PROOF_FILES.refusal];

const WHAT_IS_HERE: readonly (readonly [name: string, meaning: string])[] = [
  [PROOF_FILES.manifest, 'what the sender sealed: id, time, parties, hash of the payload'],
  [PROOF_FILES.jws, 'the sender’s signature over it, byte for byte'],
  [PROOF_FILES.audit, 'the steps on the way, each signed over all before it'],
  [PROOF_FILES.receipt, 'the receiver’s signed statement: what its PACS has, or why it refused'],
  [PROOF_FILES.refusal, 'an earlier statement of the receiver: that it refused, and why'],
  [PROOF_FILES.keys, 'the public keys that signed, and where this site knows them from'],
  ['keys/', 'the same keys, one file each, for OpenSSL'],
  ['announcements/', 'statements by which old keys introduced newer ones, if there were any'],
  [PROOF_FILES.record, 'this site’s own notes of what it did when; nobody else vouches for them'],
  [PROOF_FILES.sums, 'SHA-256 of every file: finds damage, proves nothing'],
];

const NO_PATIENT = [
  'There is no name, date or image of a patient in here; instances are named by their DICOM UIDs and hashes.',
];
const JS_WARNING = [
  'TAKE CARE: the sender’s software puts data of the patient into manifest.json, in clear. Apart from that, instances are',
  'named by their DICOM UIDs and hashes.',
];

function signerOptions(keys: readonly ProofKey[]): string {
  return keys
    .map(({ key, id }) => `--signer ${id === undefined ? '' : `${shellWord(id)}=`}${keyFileName(key)}`)
    .join(' ');
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9._:-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`;
}

function comparison(files: ProofFiles): readonly string[] {
  const [jws, manifest] = [files.get(PROOF_FILES.jws), files.get(PROOF_FILES.manifest)];
  if (jws !== undefined && manifest?.equals(parseCompactJws(jws).payload) === true)
    return [`    cmp $work/${PROOF_FILES.jws}.json ${PROOF_FILES.manifest}`];
  return ['', `It is not ${PROOF_FILES.manifest} byte for byte: compare the two by eye.`];
}

function opensslCommands(name: string, files: ProofFiles, keys: readonly ProofKey[]): readonly string[] {
  const key = keys.find(({ signed }) => signed.includes(name))?.key;
  if (key === undefined)
    return [`The key that signed ${name} is not known here, so it is not in this proof.`, ''];
  return [
    `That ${name} is signed, and what it says (written to $work/${name}.json):`,
    '',
    `    cut -d. -f1,2 ${name} | tr -d '\\n' > $work/signed`,
    `    printf '%s==' "$(cut -d. -f3 ${name} | tr '_-' '/+')" | openssl base64 -d -A > $work/signature`,
    `    openssl pkeyutl -verify -pubin -inkey ${keyFileName(key)} -rawin -in $work/signed -sigfile $work/signature`,
    `    text=$(cut -d. -f2 ${name} | tr '_-' '/+'); while [ $(( \${#text} % 4 )) -ne 0 ]; do text="$text="; done`,
    `    printf '%s' "$text" | openssl base64 -d -A > $work/${name}.json`,
    ...(name === PROOF_FILES.jws ? comparison(files) : []),
    '',
  ];
}

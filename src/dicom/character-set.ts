/**
 * Text of a data set → string, by Specific Character Set (0008,0005): PS3.3 §C.12.1.1.2, PS3.5 §6.1.2. Single
 * character sets exactly; code extensions (ISO 2022) to the degree that real devices use them. It never fails: what
 * is unknown is read as Latin-1, so that a name is at worst ugly, and the bytes on disk are untouched anyway.
 */

const ESCAPE = 0x1b;

/** Defined term, letters and digits only → label of the WHATWG Encoding Standard. */
const LABELS: ReadonlyMap<string, string> = new Map([
  ['ISOIR13', 'shift_jis'],
  ['ISOIR100', 'iso-8859-1'],
  ['ISOIR101', 'iso-8859-2'],
  ['ISOIR109', 'iso-8859-3'],
  ['ISOIR110', 'iso-8859-4'],
  ['ISOIR144', 'iso-8859-5'],
  ['ISOIR127', 'iso-8859-6'],
  ['ISOIR126', 'iso-8859-7'],
  ['ISOIR138', 'iso-8859-8'],
  ['ISOIR148', 'windows-1254'],
  ['ISOIR203', 'iso-8859-15'],
  ['ISOIR166', 'windows-874'],
  ['ISOIR58', 'gb18030'],
  ['ISOIR149', 'euc-kr'],
  ['ISOIR192', 'utf-8'],
  ['GB18030', 'gb18030'],
  ['GBK', 'gbk'],
  // Not defined terms, but sent.
  ['UTF8', 'utf-8'],
  ['ISO88591', 'iso-8859-1'],
]);

/** What an escape sequence switches: one-byte halves by label, two-byte sets by how they become EUC-JP. */
type Switch =
  | { readonly half: 'low'; readonly set: 'ascii' | 'jis-x-0208' | 'jis-x-0212' }
  | { readonly half: 'high'; readonly label: string };

/** The bytes after ESC (PS3.3 Tables C.12-3 and C.12-4). */
const ESCAPES: readonly (readonly [sequence: string, Switch])[] = [
  ['(B', { half: 'low', set: 'ascii' }],
  ['(J', { half: 'low', set: 'ascii' }],
  ['$B', { half: 'low', set: 'jis-x-0208' }],
  ['$@', { half: 'low', set: 'jis-x-0208' }],
  ['$(D', { half: 'low', set: 'jis-x-0212' }],
  [')I', { half: 'high', label: 'shift_jis' }],
  ['$)C', { half: 'high', label: 'euc-kr' }],
  ['$)A', { half: 'high', label: 'gb18030' }],
  ['-A', { half: 'high', label: 'iso-8859-1' }],
  ['-B', { half: 'high', label: 'iso-8859-2' }],
  ['-C', { half: 'high', label: 'iso-8859-3' }],
  ['-D', { half: 'high', label: 'iso-8859-4' }],
  ['-L', { half: 'high', label: 'iso-8859-5' }],
  ['-G', { half: 'high', label: 'iso-8859-6' }],
  ['-F', { half: 'high', label: 'iso-8859-7' }],
  ['-H', { half: 'high', label: 'iso-8859-8' }],
  ['-M', { half: 'high', label: 'windows-1254' }],
  ['-b', { half: 'high', label: 'iso-8859-15' }],
  ['-T', { half: 'high', label: 'windows-874' }],
];

/**
 * Decodes a value. Cannot fail.
 * @param specificCharacterSet the value of (0008,0005), backslashes included; empty for the default repertoire
 */
export function decodeText(bytes: Buffer, specificCharacterSet: string): string {
  const label = labelOf(specificCharacterSet);
  return bytes.includes(ESCAPE) ? decodeExtended(bytes, label) : decode(bytes, label);
}

/** The character set at the beginning of a value: the first term. */
function labelOf(specificCharacterSet: string): string | undefined {
  const first = specificCharacterSet.split('\\')[0] ?? '';
  const term = first.toUpperCase().replace(/[^A-Z0-9]/g, '');
  return LABELS.get(term.replace(/^ISO2022IR/, 'ISOIR'));
}

function decodeExtended(bytes: Buffer, initial: string | undefined): string {
  let text = '';
  let low: 'ascii' | 'jis-x-0208' | 'jis-x-0212' = 'ascii';
  let high = initial;
  let offset = 0;
  while (offset < bytes.length) {
    if (bytes[offset] === ESCAPE) {
      const rest = bytes.toString('latin1', offset + 1, offset + 4);
      const [sequence, change] = ESCAPES.find(([known]) => rest.startsWith(known)) ?? [''];
      if (change?.half === 'low') low = change.set;
      if (change?.half === 'high') high = change.label;
      offset += 1 + sequence.length;
      continue;
    }
    const next = bytes.indexOf(ESCAPE, offset);
    const run = bytes.subarray(offset, next === -1 ? bytes.length : next);
    text += low === 'ascii' ? decode(run, high) : decode(toEucJp(run, low), 'euc-jp');
    offset += run.length;
  }
  return text;
}

/** JIS in seven bits is EUC-JP without its high bits; JIS X 0212 has a byte 0x8F before each pair there. */
function toEucJp(run: Buffer, set: 'jis-x-0208' | 'jis-x-0212'): Buffer {
  const out: number[] = [];
  for (let at = 0; at < run.length; at += 2) {
    if (set === 'jis-x-0212') out.push(0x8f);
    for (const byte of run.subarray(at, at + 2)) out.push(byte | 0x80);
  }
  return Buffer.from(out);
}

function decode(bytes: Buffer, label: string | undefined): string {
  if (label === undefined) return bytes.toString('latin1');
  try {
    return new TextDecoder(label).decode(bytes);
  } catch {
    // A Node built without full ICU knows few labels.
    return bytes.toString('latin1');
  }
}

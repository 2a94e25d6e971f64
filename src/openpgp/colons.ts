/** Lists of keys as `gpg --with-colons` gives them (GnuPG's doc/DETAILS): a record on each line, its fields between colons. */

export interface ListedKey {
  /** Of the primary key, upper hex. */
  readonly fingerprint: string;
  /** Whether the list has its private half. */
  readonly secret: boolean;
  /** Neither revoked, expired, disabled nor broken. */
  readonly usable: boolean;
  /** Of the whole key, its subkeys included. */
  readonly canSign: boolean;
  readonly canEncrypt: boolean;
  /** Seconds since 1970. */
  readonly createdAt: number;
  /** The first user id, as its owner wrote it. */
  readonly userId: string;
}

/** Field 2 of a primary key that nothing may be done with: invalid, disabled, revoked, expired. */
const UNUSABLE = /[idren]/;

export function parseKeyList(text: string): readonly ListedKey[] {
  const records = text.split('\n').map((line) => line.split(':'));
  const starts = records.flatMap(([type], index) => (type === 'pub' || type === 'sec' ? [index] : []));
  return starts.flatMap((start, index) => toKey(records.slice(start, starts[index + 1])));
}

function toKey(records: readonly (readonly string[])[]): ListedKey[] {
  const [primary = []] = records;
  const fingerprint = records.find(([type]) => type === 'fpr')?.[9];
  if (fingerprint === undefined) return [];
  const capabilities = primary[11] ?? '';
  return [
    {
      fingerprint,
      secret: primary[0] === 'sec',
      usable: !UNUSABLE.test(primary[1] ?? ''),
      canSign: capabilities.includes('S'),
      canEncrypt: capabilities.includes('E'),
      createdAt: Number(primary[5]),
      userId: records.find(([type]) => type === 'uid')?.[9] ?? '',
    },
  ];
}

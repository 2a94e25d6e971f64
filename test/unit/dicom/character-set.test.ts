import { describe, expect, it } from 'vitest';
import { decodeText } from '../../../src/dicom/character-set.js';

const bytes = (latin1: string) => Buffer.from(latin1, 'latin1');

/** The examples of PS3.5 Annexes H, I, J and K, and what devices send. */
describe('decodeText', () => {
  it.each<[string, string, string, string]>([
    ['default repertoire', '', 'Smith^John', 'Smith^John'],
    ['unknown term: Latin-1', 'ISO_IR 4711', 'M\xfcller', 'Müller'],
    ['ISO_IR 100', 'ISO_IR 100', 'Buc^J\xe9r\xf4me', 'Buc^Jérôme'],
    ['ISO_IR 144', 'ISO_IR 144', '\xbb\xee\xda', 'Люк'],
    ['ISO_IR 126', 'ISO_IR 126', '\xc4\xe9\xef\xed', 'Διον'],
    ['ISO_IR 13', 'ISO_IR 13', '\xd4\xcf\xc0\xde', 'ﾔﾏﾀﾞ'],
    ['ISO_IR 166', 'ISO_IR 166', '\xa1\xd2', 'กา'],
    ['ISO_IR 192', 'ISO_IR 192', 'Wang^\xe7\x8e\x8b', 'Wang^王'],
    ['written with a hyphen', 'ISO-IR 192', '\xc3\xbc', 'ü'],
    ['GB18030', 'GB18030', 'Wang^\xcd\xf5', 'Wang^王'],
    ['GBK', 'GBK', '\xcd\xf5', '王'],
  ])('%s', (_name, characterSet, text, expected) => {
    expect(decodeText(bytes(text), characterSet)).toBe(expected);
  });

  it('Japanese by ISO 2022 IR 87 (PS3.5 H.3.1)', () => {
    const value = bytes(
      'Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B',
    );
    expect(decodeText(value, '\\ISO 2022 IR 87')).toBe('Yamada^Tarou=山田^太郎=やまだ^たろう');
  });

  it('Japanese by ISO 2022 IR 13 and 87 (PS3.5 H.3.2)', () => {
    const value = bytes('\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J');
    expect(decodeText(value, 'ISO 2022 IR 13\\ISO 2022 IR 87')).toBe('ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎');
  });

  it('Korean by ISO 2022 IR 149 (PS3.5 I.2)', () => {
    const value = bytes(
      'Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf',
    );
    expect(decodeText(value, '\\ISO 2022 IR 149')).toBe('Hong^Gildong=洪^吉洞=홍^길동');
  });

  it('Chinese by ISO 2022 IR 58 (PS3.5 K.2)', () => {
    const value = bytes('Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=');
    expect(decodeText(value, '\\ISO 2022 IR 58')).toBe('Zhang^XiaoDong=张^小东=');
  });

  it('unknown and truncated escape sequences never fail', () => {
    expect(decodeText(bytes('a\x1b%Gb'), '')).toBe('a%Gb');
    expect(decodeText(bytes('a\x1b'), 'ISO 2022 IR 87')).toBe('a');
    expect(decodeText(bytes('\x1b$B;'), '\\ISO 2022 IR 87')).toHaveLength(1);
  });
});

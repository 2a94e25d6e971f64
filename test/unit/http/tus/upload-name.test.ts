import { expect, it } from 'vitest';
import { parseEnvelopeId } from '../../../../src/domain/envelope-id.js';
import {
  bringsManifest,
  formatUploadName,
  isManifestSha256,
  parseUploadName,
} from '../../../../src/transport/https/resumable-name.js';

const ID = parseEnvelopeId('3f0c2b0e-8a53-4d0e-9f4e-0d3c5d9a7b11');
const SHA256 = '0123456789abcdef'.repeat(4);

it.each([
  '',
  ID,
  `${ID}-`,
  `${ID}-0123456789ABCDEF`,
  `${ID}-0123456789abcdef0`,
  `${ID}-0123456789abcdef.json`,
  `${ID.replaceAll('-', 'a')}-0123456789abcdef`,
  `../${ID}-0123456789abcdef`,
  `${ID.toUpperCase()}-0123456789abcdef`,
])('%j names no upload', (text) => {
  expect(parseUploadName(text)).toBeUndefined();
});

it('a name is read as it was written, and fits the manifest that it was made of', () => {
  const name = parseUploadName(formatUploadName(ID, SHA256));
  expect(name).toEqual({ envelopeId: ID, manifestDigits: '0123456789abcdef' });
  expect(name && bringsManifest(name, SHA256)).toBe(true);
  expect(name && bringsManifest(name, '1'.repeat(64))).toBe(false);
});

it('a hash is 64 lower hex digits and nothing else', () => {
  expect([SHA256, SHA256.toUpperCase(), SHA256.slice(1), null].map(isManifestSha256)).toEqual([
    true,
    false,
    false,
    false,
  ]);
});

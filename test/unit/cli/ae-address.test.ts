import { expect, it } from 'vitest';
import { parseAeAddress } from '../../../src/cli/ae-address.js';

it('an address of an AE has its title, a host of any kind, and a port', () => {
  expect(parseAeAddress('PACS@[fe80::1]:104')).toEqual({ aeTitle: 'PACS', host: 'fe80::1', port: 104 });
});

it.each(['TOOLONGTITLE12345@h:1', 'PACS@h', '@h:1', 'PACS@:1', 'PACS@h:0', 'PACS@h:65536'])(
  '%s is refused in words',
  (text) => {
    expect(() => parseAeAddress(text)).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID', message: expect.stringContaining(text) }),
    );
  },
);

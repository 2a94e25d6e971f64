import { describe, expect, it } from 'vitest';
import { foreignPreamble, PREAMBLE_BYTES } from '../../../src/dicom/preamble.js';

const startingWith = (head: string) => {
  const preamble = Buffer.alloc(PREAMBLE_BYTES);
  preamble.write(head, 'latin1');
  return preamble;
};

describe('foreignPreamble', () => {
  it.each([
    ['MZ\x90\0', 'a Windows program'],
    ['\x7fELF\x02\x01', 'an ELF program'],
    ['\xcf\xfa\xed\xfe', 'a Mach-O program'],
    ['\xca\xfe\xba\xbe', 'a Mach-O program or a Java class'],
    ['#!/bin/sh\n', 'a script'],
    ['PK\x03\x04', 'a zip archive'],
    ['%PDF-1.7', 'a PDF document'],
  ])('the head %j is named as what it is', (head, what) => {
    expect(foreignPreamble(startingWith(head))).toBe(what);
  });

  it.each(['DOE^JANE', 'II', 'II*', 'MM*\0', ' II*\0'])('%j is foreign, and not repeated', (head) => {
    // Blanks behind it, so that a short head is not filled up to one of TIFF.
    const preamble = Buffer.alloc(PREAMBLE_BYTES, ' ');
    preamble.write(head, 'latin1');
    expect(foreignPreamble(preamble)).toBe('something else');
  });

  it('one byte that is not zero makes it foreign, wherever it stands in the preamble', () => {
    for (let at = 0; at < PREAMBLE_BYTES; at += 1) {
      const preamble = Buffer.alloc(PREAMBLE_BYTES);
      preamble[at] = 1;
      expect(foreignPreamble(preamble), String(at)).toBe('something else');
    }
  });

  it('zeros are what a preamble should be, and what follows it does not count', () => {
    const file = Buffer.concat([Buffer.alloc(PREAMBLE_BYTES), Buffer.from('DICM')]);
    expect(foreignPreamble(file)).toBeUndefined();
  });

  it.each(['II*\0', 'MM\0*', 'II+\0', 'MM\0+'])('a file that is a TIFF as well may be: %j', (head) => {
    expect(foreignPreamble(startingWith(head))).toBeUndefined();
  });
});

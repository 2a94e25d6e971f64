import { describe, expect, it } from 'vitest';
import { isStorageSopClass, STORAGE_SOP_CLASSES, sopClassName } from '../../../src/dicom/sop-classes.js';
import { describeStatus, formatStatus, storeStatus } from '../../../src/dicom/store-status.js';
import { formatTag, TAG_VRS, TAGS } from '../../../src/dicom/tags.js';
import { TRANSFER_SYNTAXES, transferSyntax } from '../../../src/dicom/transfer-syntaxes.js';
import { isUid } from '../../../src/domain/uid.js';
import { CODES, isErrorCode } from '../../../src/errors/codes.js';

describe('store status', () => {
  it('no error is ever answered with success', () => {
    for (const code of Object.keys(CODES)) {
      if (isErrorCode(code)) expect(describeStatus(storeStatus(code)).category).toBe('failure');
    }
  });

  it('full disk answers 0xA700, broken data set 0xC000, other bytes 0x0111', () => {
    expect(formatStatus(storeStatus('SPOOL_WRITE_FAILED'))).toBe('0xA700');
    expect(formatStatus(storeStatus('DATASET_UNREADABLE'))).toBe('0xC000');
    expect(formatStatus(storeStatus('INSTANCE_CONFLICT'))).toBe('0x0111');
  });

  it.each([
    [0x0000, 'success'],
    [0x0001, 'warning'],
    [0x0107, 'warning'],
    [0x0116, 'warning'],
    [0xb000, 'warning'],
    [0xb006, 'warning'],
    [0xb007, 'warning'],
    [0xb123, 'warning'],
    [0xa7ff, 'failure'],
    [0xa900, 'failure'],
    [0xc001, 'failure'],
    [0x0111, 'failure'],
    [0x0199, 'failure'],
    [0xfe00, 'cancel'],
    [0xff00, 'pending'],
    [0x1234, 'unknown'],
  ])('%i is %s', (status, category) => {
    expect(describeStatus(status).category).toBe(category);
  });
});

describe('tables', () => {
  it('every SOP class and transfer syntax is a UID, and named once', () => {
    for (const uid of [...STORAGE_SOP_CLASSES.keys(), ...TRANSFER_SYNTAXES.keys()])
      expect(isUid(uid)).toBe(true);
    const names = [...STORAGE_SOP_CLASSES.values()];
    expect(new Set(names).size).toBe(names.length);
  });

  it('private storage classes come by config only', () => {
    const uid = '1.3.12.2.1107.5.9.1';
    expect(isStorageSopClass(uid)).toBe(false);
    expect(isStorageSopClass(uid, [uid])).toBe(true);
    expect(isStorageSopClass('1.2.840.10008.1.1')).toBe(false);
    expect(sopClassName(uid)).toContain(uid);
  });

  it('unknown transfer syntaxes are explicit and encapsulated', () => {
    expect(transferSyntax('1.2.3')).toMatchObject({ encoding: 'explicit-le', encapsulated: true });
  });

  it('every tag has a VR', () => {
    for (const tag of Object.values(TAGS)) expect(TAG_VRS[tag], formatTag(tag)).toBeDefined();
    expect(formatTag(TAGS.SOPInstanceUID)).toBe('(0008,0018)');
  });
});

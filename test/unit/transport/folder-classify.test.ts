import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors/gateway-error.js';
import { classifyFolderError, classifyOwnFileError } from '../../../src/transport/folder/classify.js';

const errno = (code: string) => Object.assign(new Error(code), { code });

describe('an error of a shared folder', () => {
  it.each([
    ['ENOSPC', 'QUOTA_EXCEEDED'],
    ['EDQUOT', 'QUOTA_EXCEEDED'],
    ['EFBIG', 'ENVELOPE_TOO_LARGE'],
    ['EACCES', 'PEER_REFUSED'],
    ['EPERM', 'PEER_REFUSED'],
    ['EROFS', 'PEER_REFUSED'],
    ['ELOOP', 'PEER_REFUSED'],
    ['EBUSY', 'PEER_BUSY'],
    ['ENOENT', 'PEER_UNREACHABLE'],
    ['EIO', 'PEER_UNREACHABLE'],
    ['ESTALE', 'PEER_UNREACHABLE'],
    ['EHOSTDOWN', 'PEER_UNREACHABLE'],
    ['ABORT_ERR', 'CANCELLED'],
  ])('%s is %s', (code, expected) => {
    expect(classifyFolderError(errno(code)).code).toBe(expected);
  });

  it('is CANCELLED after an abort, whatever it is called', () => {
    expect(classifyFolderError(errno('EIO'), AbortSignal.abort()).code).toBe('CANCELLED');
  });

  it('that is one of ours already stays as it is, after an abort too', () => {
    const ours = new GatewayError('SHIP_UNCONFIRMED', 'the folder did not confirm the final name: EIO');
    expect(classifyFolderError(ours, AbortSignal.abort())).toBe(ours);
    expect(classifyOwnFileError(ours)).toBe(ours);
  });

  it('is another thing than one of the data disk', () => {
    expect(classifyOwnFileError(errno('ENOSPC')).code).toBe('SPOOL_WRITE_FAILED');
    expect(classifyOwnFileError(errno('ENOENT')).code).toBe('SPOOL_WRITE_FAILED');
  });
});

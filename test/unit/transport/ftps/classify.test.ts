import { FTPError } from 'basic-ftp';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../../src/errors/gateway-error.js';
import { classifyFtpError, classifyReply } from '../../../../src/transport/ftps/classify.js';

describe('a reply that says no', () => {
  it.each([
    [421, 'PEER_BUSY'],
    [425, 'PEER_UNREACHABLE'],
    [426, 'PEER_UNREACHABLE'],
    [430, 'PEER_REFUSED'],
    [450, 'PEER_BUSY'],
    [451, 'PEER_BUSY'],
    [452, 'QUOTA_EXCEEDED'],
    [500, 'PEER_REFUSED'],
    [522, 'PEER_REFUSED'],
    [530, 'PEER_REFUSED'],
    [550, 'PEER_REFUSED'],
    [552, 'QUOTA_EXCEEDED'],
    [553, 'PEER_REFUSED'],
  ])('of %i becomes %s', (code, expected) => {
    expect(classifyReply({ code, message: `${code} no` }, 'STOR').code).toBe(expected);
    expect(classifyFtpError(new FTPError({ code, message: 'no' }), 'STOR').code).toBe(expected);
  });

  it('has its first line in the message, short and without control characters', () => {
    const message = `550 no\u001b[31m ${'x'.repeat(1_000)}\r\n550 more`;
    const error = classifyReply({ code: 550, message }, 'STOR');
    expect(error.message).toMatch(/^the server answers 550 to STOR: no\?\[31m x+$/);
    expect(error.message.length).toBeLessThan(250);
  });
});

describe('a broken connection', () => {
  const withCode = (code: string) => Object.assign(new Error('text that says nothing'), { code });

  it.each([
    ['ECONNRESET', 'PEER_UNREACHABLE'],
    ['ECONNREFUSED', 'PEER_UNREACHABLE'],
    ['CERT_HAS_EXPIRED', 'PEER_UNTRUSTED'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'PEER_UNTRUSTED'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'PEER_REFUSED'],
    ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'PEER_REFUSED'],
    // The same, as Node 22 and later have it.
    ['ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE', 'PEER_REFUSED'],
    // What the FTP library gives to whoever uses a connection that it has closed.
    ['0', 'PEER_UNREACHABLE'],
  ])('of code %s becomes %s', (code, expected) => {
    expect(classifyFtpError(withCode(code), 'STOR').code).toBe(expected);
  });

  it('without a code, as after a time-out, is one that can be tried again', () => {
    expect(classifyFtpError(new Error('Timeout (control socket)'), 'STOR').code).toBe('PEER_UNREACHABLE');
  });

  it('that was classified before stays what it is', () => {
    const error = new GatewayError('CANCELLED', 'stopped');
    expect(classifyFtpError(error, 'STOR')).toBe(error);
  });
});

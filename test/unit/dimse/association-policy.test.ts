import { describe, expect, it } from 'vitest';
import { type AssociationPolicy, judgeCaller, judgeContext } from '../../../src/dimse/association-policy.js';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const VERIFICATION = '1.2.840.10008.1.1';
const COMMITMENT = '1.2.840.10008.1.20.1';
const IMPLICIT = '1.2.840.10008.1.2';
const EXPLICIT = '1.2.840.10008.1.2.1';
const JPEG_LOSSLESS = '1.2.840.10008.1.2.4.70';

const policy: AssociationPolicy = {
  calledAes: ['DRAWBRIDGE'],
  callers: [{ aeTitle: 'CT1', hosts: ['10.1.0.0/16', 'ct1.example'] }, { aeTitle: 'PACS2' }],
  anyCaller: false,
  privateSopClasses: ['1.2.3.4'],
  reportingPacs: [
    { aeTitle: 'PACS', callingAe: 'DRAWBRIDGE_OUT' },
    { aeTitle: 'PACS2', callingAe: 'DRAWBRIDGE' },
  ],
};
const resolve = async (name: string) => (name === 'ct1.example' ? ['192.0.2.7'] : []);
const judge = (callingAe: string, calledAe = 'DRAWBRIDGE', remoteAddress = '10.1.2.3') =>
  judgeCaller(policy, { callingAe, calledAe, remoteAddress }, resolve);

describe('a caller is refused', () => {
  it.each([
    ['whose AE title is unknown', judge('CT2'), 'CALLING_AE_UNKNOWN', /not one of dimse\.callers/],
    [
      'that calls from elsewhere',
      judge('CT1', 'DRAWBRIDGE', '10.2.0.1'),
      'CALLING_AE_UNKNOWN',
      /10\.2\.0\.1/,
    ],
    ['that calls somebody else', judge('CT1', 'OTHER'), 'CALLED_AE_UNKNOWN', /DRAWBRIDGE/],
    [
      'that calls what only a PACS may call',
      judge('CT1', 'DRAWBRIDGE_OUT'),
      'CALLED_AE_UNKNOWN',
      /DRAWBRIDGE/,
    ],
    ['whose title differs in case', judge('ct1'), 'CALLING_AE_UNKNOWN', /dimse\.callers/],
  ])('%s, with the reason in words', async (_title, judging, code, words) => {
    expect(await judging).toMatchObject({ rejection: { code }, message: expect.stringMatching(words) });
  });
});

describe('a caller is', () => {
  it.each([
    ['a modality in its network', judge('CT1'), 'modality'],
    ['a modality at its host name', judge('CT1', 'DRAWBRIDGE', '192.0.2.7'), 'modality'],
    ['a modality on a v6 socket', judge('CT1', 'DRAWBRIDGE', '::ffff:10.1.9.9'), 'modality'],
    ['a PACS that reports', judge('PACS'), 'pacs'],
    ['a PACS that reports to the title we called it with', judge('PACS', 'DRAWBRIDGE_OUT'), 'pacs'],
    ['a PACS that may send as well', judge('PACS2'), 'modality'],
  ])('%s', async (_title, judging, standing) => {
    expect(await judging).toEqual({ standing });
  });
});

describe('a caller that must show a certificate', () => {
  const FINGERPRINT = 'a1'.repeat(32);
  const bound: AssociationPolicy = {
    ...policy,
    callers: [{ aeTitle: 'CT1', hosts: ['10.1.0.0/16'], certificates: ['ct1.example', FINGERPRINT] }],
  };
  const call = (
    certificate: { readonly fingerprint: string; readonly name: string } | undefined,
    {
      remoteAddress = '10.1.2.3',
      ...more
    }: Partial<AssociationPolicy> & { readonly remoteAddress?: string } = {},
  ) =>
    judgeCaller(
      { ...bound, ...more },
      {
        callingAe: 'CT1',
        calledAe: 'DRAWBRIDGE',
        remoteAddress,
        ...(certificate === undefined
          ? {}
          : {
              certificate: {
                fingerprint: certificate.fingerprint,
                isFor: (name: string) => name === certificate.name,
              },
            }),
      },
      resolve,
    );
  const other = { fingerprint: 'b2'.repeat(32), name: 'mr1.example' };

  it('is let in by its name, or by its fingerprint', async () => {
    expect(await call({ ...other, name: 'ct1.example' })).toEqual({ standing: 'modality' });
    expect(await call({ ...other, fingerprint: FINGERPRINT })).toEqual({ standing: 'modality' });
  });

  it('is refused with another one, without one, and from elsewhere', async () => {
    const code = 'CALLING_AE_UNPROVED';
    expect(await call(other)).toMatchObject({
      rejection: { code },
      message: expect.stringContaining(`the certificate ${other.fingerprint}`),
    });
    expect(await call(undefined)).toMatchObject({
      rejection: { code },
      message: expect.stringContaining('with TLS and a certificate'),
    });
    expect(await call({ ...other, name: 'ct1.example' }, { remoteAddress: '10.2.0.1' })).toMatchObject({
      rejection: { code },
      message: expect.stringContaining('from 10.2.0.1'),
    });
  });

  it('is let in by another entry for its title', async () => {
    const callers = [...bound.callers, { aeTitle: 'CT1', hosts: ['10.1.2.3'] }];
    expect(await call(undefined, { callers })).toEqual({ standing: 'modality' });
  });
});

describe('a presentation context gets', () => {
  const services = new Set([COMMITMENT]);
  const of = (
    abstractSyntaxUid: string,
    transferSyntaxUids: readonly string[],
    standing = 'modality' as const,
  ) => judgeContext(policy, standing, { abstractSyntaxUid, transferSyntaxUids }, services);

  it('the first transfer syntax for storage, whichever it is', () => {
    expect(of(CT, [JPEG_LOSSLESS, EXPLICIT])).toEqual({ result: 0, transferSyntaxUid: JPEG_LOSSLESS });
    expect(of('1.2.3.4', [IMPLICIT])).toEqual({ result: 0, transferSyntaxUid: IMPLICIT });
  });

  it('one of the standard where it is offered beside one that nobody knows, for storage and for Verification', () => {
    const unknown = '1.2.3.4.5';
    expect(of(CT, [unknown, IMPLICIT])).toEqual({ result: 0, transferSyntaxUid: IMPLICIT });
    expect(of(CT, [unknown])).toEqual({ result: 0, transferSyntaxUid: unknown });
    expect(of(VERIFICATION, [unknown, IMPLICIT])).toEqual({ result: 0, transferSyntaxUid: IMPLICIT });
    expect(of(VERIFICATION, [unknown])).toEqual({ result: 4 });
  });

  it('4 without a transfer syntax, or with none that is a UID', () => {
    expect(of(CT, [])).toEqual({ result: 4 });
    expect(of(CT, ['', '../../x', ''])).toEqual({ result: 4 });
  });

  it('3 for what we do not do', () => {
    expect(of('1.2.840.10008.5.1.4.31', [IMPLICIT])).toEqual({ result: 3 });
    expect(of('', [IMPLICIT])).toEqual({ result: 3 });
    expect(
      judgeContext(
        policy,
        'modality',
        { abstractSyntaxUid: COMMITMENT, transferSyntaxUids: [IMPLICIT] },
        new Set(),
      ),
    ).toEqual({ result: 3 });
  });

  it('for services Explicit VR Little Endian before Implicit, and 4 for anything else', () => {
    expect(of(COMMITMENT, [JPEG_LOSSLESS, IMPLICIT, EXPLICIT])).toEqual({
      result: 0,
      transferSyntaxUid: EXPLICIT,
    });
    expect(of(COMMITMENT, [IMPLICIT])).toEqual({ result: 0, transferSyntaxUid: IMPLICIT });
    expect(of(COMMITMENT, [JPEG_LOSSLESS])).toEqual({ result: 4 });
  });

  it('3 for storage where a PACS calls that is no modality, which may verify and report', () => {
    const asPacs = (uid: string) =>
      judgeContext(policy, 'pacs', { abstractSyntaxUid: uid, transferSyntaxUids: [IMPLICIT] }, services)
        .result;
    expect([CT, VERIFICATION, COMMITMENT].map(asPacs)).toEqual([3, 0, 0]);
  });
});

import { describe, expect, it } from 'vitest';
import { DIALECT_NAMES } from '../../../src/domain/peer.js';
import { announcementsOf, type EnvelopeExtensions, formatExtensions } from '../../../src/jmix/extensions.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { sealEnvelope } from '../../../src/jmix/seal.js';
import { codeOf, openRequest, RECEIVER, RECIPIENT, sealInMemory, sealRequest } from './support/sealing.js';

const FULL: EnvelopeExtensions = {
  customTags: ['urgent', 'neuro'],
  consent: {
    status: 'granted',
    scope: ['treatment', 'research'],
    method: 'written',
    signedOn: '2026-11-20',
  },
  deid: { keys: ['PatientName', 'PatientID'] },
  drawbridge: { announcements: ['a.b.c'] },
};

describe('sealEnvelope refuses with MANIFEST_INVALID, before a byte is read,', () => {
  it.each([
    ['a consent that the schema does not know', { consent: { status: 'perhaps' } }],
    ['a scope that the schema does not know', { consent: { status: 'granted', scope: ['fun'] } }],
    ['a consent signed on no day', { consent: { status: 'granted', signedOn: '20 November' } }],
    ['tags that are no texts', { customTags: [1] }],
    ['attributes that are no texts', { deid: { keys: [1] } }],
    ['a content key of the caller’s', { drawbridge: { content_key: {} } }],
    ['a lone surrogate', { customTags: ['\ud800'] }],
  ])('%s', async (_, extensions) => {
    const files = [{ name: 'dicom/1.dcm', sizeBytes: 1, open: () => expect.unreachable() }];
    const request = sealRequest({ files, extensions: extensions as EnvelopeExtensions });
    expect(await codeOf(sealEnvelope(request))).toBe('MANIFEST_INVALID');
  });

  it('a classification that the schema does not know', async () => {
    const classification = 'top secret' as 'confidential';
    expect(await codeOf(sealEnvelope(sealRequest({ classification })))).toBe('MANIFEST_INVALID');
  });
});

describe('what the extensions say', () => {
  it.each(DIALECT_NAMES)('arrives as the specification spells it, and signed (%s)', async (dialect) => {
    const { source } = await sealInMemory({ dialect, extensions: FULL, classification: 'sensitive' });
    const opened = await openEnvelope(openRequest(source));
    expect(opened).toMatchObject({ manifestCovered: true, unknownMembers: [] });
    expect(opened.manifest.classification).toBe('sensitive');
    expect(opened.manifest.extensions).toEqual({
      custom_tags: ['urgent', 'neuro'],
      consent: {
        status: 'granted',
        scope: ['treatment', 'research'],
        method: 'written',
        signed_on: '2026-11-20',
      },
      deid: { keys: ['PatientName', 'PatientID'] },
      drawbridge: { announcements: ['a.b.c'] },
    });
    expect(announcementsOf(opened.manifest.extensions)).toEqual(['a.b.c']);
  });

  it('stands beside the content key for several receivers', async () => {
    const recipients = ['org:b', 'org:c'].map((id) => ({
      entity: { ...RECEIVER, id },
      key: RECIPIENT.publicKey,
    }));
    const { source } = await sealInMemory({ recipients, extensions: FULL });
    const { manifest } = await openEnvelope(openRequest(source));
    expect(Object.keys(manifest.extensions['drawbridge'] ?? {})).toEqual(['announcements', 'content_key']);
    expect(manifest.contentKey?.kids).toHaveLength(2);
  });

  it('is nothing at all when there is nothing to say', () => {
    expect(formatExtensions()).toBeUndefined();
    expect(
      formatExtensions({ customTags: [], deid: { keys: [] }, drawbridge: { announcements: [] } }),
    ).toBeUndefined();
  });

  it('of a stranger’s making holds no announcements', () => {
    for (const drawbridge of [1, [], { announcements: 'a' }, { announcements: [1, null] }]) {
      expect(announcementsOf({ drawbridge })).toEqual([]);
    }
  });
});

/** Members that no schema knows: kept, told by name, and never a reason to refuse; all else in them still is. */
import { describe, expect, it } from 'vitest';
import type { EnvelopeSource } from '../../../src/jmix/envelope-folder.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { codeOf, openRequest, sealInMemory, streamOf } from './support/sealing.js';
import { type AnyDocument, resigned, unsigned } from './support/signing.js';

const { source } = await sealInMemory();
const sealed: AnyDocument = JSON.parse(source.manifest.toString());

/** A plain, unsigned envelope of these two documents. */
function plainOf(metadata: object, filesList: object): EnvelopeSource {
  const { encryption: _, payload_hash: _hash, ...security } = sealed.security;
  const files = Object.entries({ 'metadata.json': metadata, 'files.json': filesList }).map(
    ([name, document]) => {
      const bytes = Buffer.from(JSON.stringify(document));
      return { name, sizeBytes: bytes.length, open: () => streamOf(bytes) };
    },
  );
  return { ...unsigned(source, { ...sealed, security }), payload: { kind: 'plain', files, folders: [] } };
}

const openUnsigned = (from: EnvelopeSource) =>
  openEnvelope(openRequest(from, { trust: { kind: 'allow-unsigned' } }));

const { id, timestamp } = sealed;
const METADATA = { version: '1.0', id, timestamp, patient: { id: 'TEST-1' } };
const FILES_LIST = [{ file: 'metadata.json' }];

describe('with members that nobody knows', () => {
  it('a signed manifest opens, signed as a whole', async () => {
    const opened = await openEnvelope(openRequest(resigned(source, { ...sealed, priority: 'high' })));
    expect(opened).toMatchObject({
      unknownMembers: ['manifest.json: priority'],
      manifestCovered: true,
      checks: { schema: 'nonconforming' },
    });
    expect(opened.manifest.document['priority']).toBe('high');
  });

  it('metadata.json and files.json open and are kept, but none of their names is told', async () => {
    // A series may have more members by the schema itself.
    const studies = { series: [{ series_uid: '1.2', modality: 'CT', laterality: 'L' }], mood: 'calm' };
    const opened = await openUnsigned(
      plainOf({ ...METADATA, ward: 7, patient: { id: 'TEST-1', 'DOE^JANE': 1, nickname: 'Tess' }, studies }, [
        { file: 'metadata.json', colour: 'blue' },
      ]),
    );
    expect(opened.unknownMembers).toEqual([
      'metadata.json: patient.* (2)',
      'metadata.json: * (1)',
      'metadata.json: studies.* (1)',
      'files.json: [].* (1)',
    ]);
    expect(opened.metadata.document['ward']).toBe(7);
    expect(opened.metadata.model.patient).toEqual({ id: 'TEST-1' });
  });

  it('without any, nothing is told', async () => {
    const opened = await openUnsigned(plainOf(METADATA, FILES_LIST));
    expect(opened).toMatchObject({ unknownMembers: [], checks: { schema: 'ok' } });
  });
});

describe('still refused with METADATA_INVALID', () => {
  it.each([
    ['a patient without an id', { ...METADATA, patient: { name: {} } }, FILES_LIST],
    ['a sex that the schema does not know', { ...METADATA, patient: { id: 'T', sex: 'U' } }, FILES_LIST],
    ['a list entry without a name', METADATA, [{ colour: 'blue' }]],
    ['a list that is none', METADATA, { file: 'metadata.json' }],
  ])('%s', async (_, metadata, filesList) => {
    expect(await codeOf(openUnsigned(plainOf(metadata, filesList)))).toBe('METADATA_INVALID');
  });
});

/** What travels with a study that is not DICOM: reports, pictures, videos, previews. */
import { describe, expect, it } from 'vitest';
import { DIALECT_NAMES, type DialectName } from '../../../src/domain/peer.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { plainOnDisk } from './support/plain.js';
import { codeOf, openRequest, payloadFile, RECEIVER, RECIPIENT, sealInMemory } from './support/sealing.js';
import { memoryStaging } from './support/staging.js';

const CONTENTS: Record<string, Buffer> = {
  'dicom/1.2.3.dcm': Buffer.alloc(1000, 1),
  'files/report.pdf': Buffer.from('%PDF-1.7\n'),
  'files/photos/knee (left).jpg': Buffer.from([0xff, 0xd8, 0xff, 0xe0]),
  'files/Ultraschall – Hüfte.mp4': Buffer.alloc(300_000, 7),
  'files/empty.txt': Buffer.alloc(0),
  'preview/1.2.840.1.jpg': Buffer.from([0xff, 0xd8, 0xff, 0xdb]),
};
const FILES = Object.entries(CONTENTS).map(([name, bytes]) => payloadFile(name, bytes));
const METADATA = { patient: { id: 'TEST-1' }, report: { file: 'files/report.pdf' } };

describe.each(DIALECT_NAMES)('with attachments in the dialect %s', (dialect: DialectName) => {
  it('every file arrives, and the report is named', async () => {
    const { source } = await sealInMemory({ dialect, files: FILES, metadata: METADATA });
    const staging = memoryStaging();
    const opened = await openEnvelope(openRequest(source, { stage: staging.stage }));
    for (const [name, bytes] of Object.entries(CONTENTS)) expect(staging.files.get(name)).toEqual(bytes);
    // jmix-js has its report in the manifest, which everyone can read; we do not write it there.
    if (dialect !== 'js') expect(opened.metadata.model.report).toEqual(METADATA.report);
  });

  it('files.json lists every one of them, where the dialect has it', async () => {
    const { source } = await sealInMemory({ dialect, files: FILES, metadata: METADATA });
    const staging = memoryStaging();
    await openEnvelope(openRequest(source, { stage: staging.stage }));
    const bytes = staging.files.get('files.json');
    expect(bytes === undefined).toBe(dialect === 'js');
    if (bytes === undefined) return;
    const listed = (JSON.parse(bytes.toString()) as { file: string }[]).map(({ file }) => file);
    expect(listed.toSorted()).toEqual([...Object.keys(CONTENTS), 'metadata.json'].toSorted());
  });

  it.each([
    ['a name that a tar for every reader cannot hold', `files/${'x'.repeat(101)}.pdf`],
    ['a name that differs from another one by its case', 'files/REPORT.pdf'],
    ['a name that is another one in other code points', 'files/Ultraschall – Hu\u0308fte.mp4'],
    ['a name that another one has as a folder', 'files/photos'],
    ['a name beside the payload’s folders', 'videos/1.mp4'],
  ])('%s is ARCHIVE_UNSAFE', async (_, name) => {
    const files = [...FILES, payloadFile(name, Buffer.from('x'))];
    expect(await codeOf(sealInMemory({ dialect, files }))).toBe('ARCHIVE_UNSAFE');
  });
});

it('with attachments for several receivers, each gets all of it', async () => {
  const recipients = ['org:b', 'org:c'].map((id) => ({
    entity: { ...RECEIVER, id },
    key: RECIPIENT.publicKey,
  }));
  const { source } = await sealInMemory({ recipients, files: FILES, metadata: METADATA });
  const { files } = await openEnvelope(openRequest(source));
  expect(files).toHaveLength(FILES.length + 2);
});

it('with attachments in a plain envelope, all of it arrives', async () => {
  const { source, remove } = await plainOnDisk({ files: FILES, metadata: METADATA });
  const staging = memoryStaging();
  const opened = await openEnvelope(openRequest(source, { stage: staging.stage }));
  for (const [name, bytes] of Object.entries(CONTENTS)) expect(staging.files.get(name)).toEqual(bytes);
  expect(opened.checks).toMatchObject({ filesJson: 'ok', schema: 'ok' });
  await remove();
});

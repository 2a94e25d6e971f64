/** Data sets of Part 10 files, as they cross the wire: to compare what was sent with what arrived. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { inflateRawSync } from 'node:zlib';
import { parseFileMeta } from '../../src/dicom/part10.js';

const DEFLATED = '1.2.840.10008.1.2.1.99';

export interface DataSetFacts {
  readonly sopInstanceUid: string;
  readonly transferSyntaxUid: string;
  /** Of the data set alone; of a deflated one, inflated, since DCMTK and Orthanc deflate anew, to other bytes. */
  readonly sha256: string;
}

export function dataSetFacts(file: Buffer): DataSetFacts {
  const meta = parseFileMeta(file);
  if (meta === undefined) throw new Error('not a whole Part 10 file');
  const dataSet = file.subarray(meta.dataSetOffset);
  return {
    sopInstanceUid: meta.sopInstanceUid,
    transferSyntaxUid: meta.transferSyntaxUid,
    sha256: createHash('sha256')
      .update(meta.transferSyntaxUid === DEFLATED ? inflateRawSync(dataSet) : dataSet)
      .digest('hex'),
  };
}

/** What a PACS holds, by SOP Instance UID; one after the other, since Orthanc closes connections when it is busy. */
export async function storedIn(archive: {
  instances(): Promise<string[]>;
  downloadInstance(id: string): Promise<Buffer>;
}): Promise<Map<string, DataSetFacts>> {
  const found = new Map<string, DataSetFacts>();
  for (const id of await archive.instances()) {
    const facts = dataSetFacts(await archive.downloadInstance(id));
    if (found.has(facts.sopInstanceUid)) throw new Error('the PACS holds an instance twice');
    found.set(facts.sopInstanceUid, facts);
  }
  return found;
}

/** By SOP Instance UID. */
export async function readDataSets(paths: readonly string[]): Promise<Map<string, DataSetFacts>> {
  const facts = await Promise.all(paths.map(async (path) => dataSetFacts(await readFile(path))));
  return new Map(facts.map((fact) => [fact.sopInstanceUid, fact]));
}

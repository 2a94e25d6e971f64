/** The tools that other tests stand on: DCMTK and Orthanc start, take an instance, give it back, and go away. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dcmsend, dump, dumpToDicom, echoscu, startStorescp, storescu } from '../support/dcmtk.js';
import { startOrthanc } from '../support/orthanc.js';
import { isListening } from '../support/ports.js';
import { startProcess } from '../support/processes.js';
import { describeWith } from '../support/tools.js';

const SOP_INSTANCE_UID = '2.25.315170118023712036498112463325301201';

/** A secondary capture of 2 × 2 pixels, in dcmdump's notation. */
const TEXT = `
(0008,0016) UI =SecondaryCaptureImageStorage
(0008,0018) UI [${SOP_INSTANCE_UID}]
(0008,0060) CS [OT]
(0010,0010) PN [Synthetic^Patient]
(0010,0020) LO [TEST-1]
(0020,000d) UI [2.25.315170118023712036498112463325301202]
(0020,000e) UI [2.25.315170118023712036498112463325301203]
(0028,0002) US 1
(0028,0004) CS [MONOCHROME2]
(0028,0010) US 2
(0028,0011) US 2
(0028,0100) US 8
(0028,0101) US 8
(0028,0102) US 7
(0028,0103) US 0
(7fe0,0010) OW 0102\\0304
`;

let folder: string;
let file: string;

async function makeFile(): Promise<void> {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-tools-'));
  file = join(folder, 'instance.dcm');
  await writeFile(join(folder, 'instance.txt'), TEXT);
  await dumpToDicom(join(folder, 'instance.txt'), file);
}

describeWith('dcmtk', 'DCMTK', () => {
  beforeAll(makeFile);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('a port where nobody listens gives an exit code and a reason, not an exception', async () => {
    const { code, output } = await echoscu({ port: 1 });
    expect(code).not.toBe(0);
    expect(output).toContain('Association Request Failed');
  });

  it('storescp keeps what storescu and dcmsend send, and is gone after stop', async () => {
    const pacs = await startStorescp({ aeTitle: 'PACS' });
    try {
      expect(await echoscu({ port: pacs.port, called: 'PACS' })).toMatchObject({ code: 0 });
      expect(await storescu([file], { port: pacs.port, called: 'PACS' })).toMatchObject({ code: 0 });
      const [name = ''] = await readdir(pacs.receivedFolder);
      expect(await dump(join(pacs.receivedFolder, name))).toContain(SOP_INSTANCE_UID);
      await rm(join(pacs.receivedFolder, name));
      expect(await dcmsend([file], { port: pacs.port, called: 'PACS' })).toMatchObject({ code: 0 });
      expect(await readdir(pacs.receivedFolder)).toHaveLength(1);
    } finally {
      await pacs.stop();
    }
    expect(await isListening(pacs.port)).toBe(false);
  });
});

describeWith(['dcmtk', 'orthanc'], 'Orthanc', () => {
  beforeAll(makeFile);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('takes what storescu sends and gives it back with the same pixels', async () => {
    const pacs = await startOrthanc({ aeTitle: 'TOWNPACS' });
    try {
      expect(await storescu([file], { port: pacs.dicomPort, called: 'TOWNPACS' })).toMatchObject({ code: 0 });
      const [id = ''] = await pacs.instances();
      expect(await pacs.rest(`/instances/${id}/simplified-tags`)).toMatchObject({
        SOPInstanceUID: SOP_INSTANCE_UID,
      });
      const back = await pacs.downloadInstance(id);
      expect(back.subarray(-4)).toEqual((await readFile(file)).subarray(-4));
    } finally {
      await pacs.stop();
    }
    expect(await isListening(pacs.httpPort)).toBe(false);
  });
});

describeWith([], 'a program that is not ready', () => {
  it('that ends at once fails with what it said', async () => {
    const start = startProcess({
      command: process.execPath,
      args: ['-e', 'console.log("no space left"); process.exit(3)'],
      ready: /never/,
    });
    await expect(start).rejects.toThrow(/exit code 3\nno space left/);
  });

  it('that cannot be found fails by name', async () => {
    await expect(startProcess({ command: '/nowhere/program', ready: /never/ })).rejects.toThrow(
      '/nowhere/program',
    );
  });
});

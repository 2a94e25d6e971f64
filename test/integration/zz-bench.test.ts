import { it } from 'vitest';
import { mkdirSync, writeFileSync, createReadStream, statSync, readdirSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { formatFileMeta, parseFileMeta } from '../../src/dicom/part10.js';
import { readFileSync, openSync, readSync } from 'node:fs';
import { storeInstances } from '../../src/dimse/store-scu.js';
import { parseAeTitle } from '../../src/domain/ae-title.js';
import { dataSet, element, IDENTITY } from '../unit/dicom/element-builder.js';
it('bench', { timeout: 300000 }, async () => {
  const dir = '/tmp/scu-work/files';
  if (readdirSync(dir).length === 0) for (let i=0;i<500;i++) {
    const id = { ...IDENTITY, sopInstanceUid: `2.25.5000${i}` };
    const ds = dataSet('explicit-le', element('explicit-le', 0x7fe00010, 'OW', randomBytes(512*1024)), id);
    writeFileSync(`${dir}/${i}.dcm`, Buffer.concat([formatFileMeta({ sopClassUid: id.sopClassUid, sopInstanceUid: id.sopInstanceUid, transferSyntaxUid: '1.2.840.10008.1.2.1' }), ds]));
  }
  for (const round of [1,2,3]) {
  const instances = readdirSync(dir).map((f) => { const p=`${dir}/${f}`; const head = Buffer.alloc(1024); const fd=openSync(p,'r'); readSync(fd, head); const m = parseFileMeta(head)!;
    return { ...m, sizeBytes: statSync(p).size - m.dataSetOffset, open: () => createReadStream(p, { start: m.dataSetOffset, highWaterMark: 512*1024 }) as AsyncIterable<Buffer> }; });
  const t = performance.now(); const rss0 = process.memoryUsage().rss;
  const s = await storeInstances({ pacs: { aeTitle: parseAeTitle('PACS'), host: '127.0.0.1', port: Number(process.env.BPORT) }, callingAe: parseAeTitle('B'), instances, onOutcome: () => undefined });
  const sec = (performance.now()-t)/1000; console.log('scu', JSON.stringify(s), sec.toFixed(2)+'s', (250*1.048576/sec).toFixed(0)+' MB/s', 'rss+', ((process.memoryUsage().rss-rss0)/1e6).toFixed(0));
  }
});

/** The folder that a sealed envelope grows in. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import { createSpool } from '../../../src/spool/envelope-store.js';
import { createLayout, type Layout } from '../../../src/spool/layout.js';
import { growSealedFolder } from '../../../src/spool/sealed-envelope.js';

const ID = parseEnvelopeId('6f1c2d3e-0000-4000-8000-000000000001');

let layout: Layout;

beforeEach(async () => {
  layout = createLayout(await mkdtemp(join(tmpdir(), 'drawbridge-sealed-')));
  await createSpool(layout);
});
afterEach(() => rm(layout.dataDir, { recursive: true, force: true }));

const grow = (meanwhile: () => Promise<void>) =>
  growSealedFolder(layout, ID, 'payload', async (sink) => {
    await new Promise<void>((resolve) => sink.end('sealed', resolve));
    await meanwhile();
    return { manifest: Buffer.from('{}'), jws: '', audit: Buffer.from('{}') } as never;
  });

it('a restart of the gateway that wipes scratch under it is a disk that takes no write: it is sealed again', async () => {
  const wiped = grow(async () => {
    for (const name of await readdir(layout.scratch))
      await rm(join(layout.scratch, name), { recursive: true });
  });
  await expect(wiped).rejects.toMatchObject({ code: 'SPOOL_WRITE_FAILED', kind: 'transient' });
  await grow(async () => undefined);
  expect(await readdir(layout.sealedEnvelope(ID))).toContain('payload');
});

it('a file that is missing elsewhere stays what it is', async () => {
  const missing = grow(async () => {
    await readdir(join(layout.dataDir, 'nothing'));
  });
  await expect(missing).rejects.toMatchObject({ code: 'ENOENT' });
  expect(await readdir(layout.scratch)).toEqual([]);
});

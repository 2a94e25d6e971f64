/** A start that fails ends, with words for what is in the way, and leaves nothing running. */
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freePort } from '../support/ports.js';
import { runProcess } from '../support/processes.js';
import { describeWith } from '../support/tools.js';

const COMMAND = fileURLToPath(new URL('../../scripts/drawbridge.mjs', import.meta.url));

let folder: string;
let other: Server;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drawbridge-failed-'));
  other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
});
afterEach(async () => {
  other.close();
  await rm(folder, { recursive: true, force: true });
});

const taken = (): number => {
  const address = other.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
};

/** Ends by itself, or the test does after a minute. */
const up = async (ports: { readonly dimse?: number; readonly dashboard?: number }) => {
  const config = {
    site: { id: 'site-a', name: 'Hospital A', contact: 'pacs@a.example' },
    dimse: { host: '127.0.0.1', port: ports.dimse ?? (await freePort()) },
    https: { listen: false },
    dashboard: { port: ports.dashboard ?? (await freePort()) },
    redis: { download: false },
    log: { level: 'warn' },
  };
  await writeFile(join(folder, 'drawbridge.yaml'), JSON.stringify(config));
  return runProcess({
    command: process.execPath,
    args: [COMMAND, 'up', '--config', join(folder, 'drawbridge.yaml')],
  });
};

describeWith('redis', 'a start', () => {
  it.each(['dimse', 'dashboard'] as const)(
    'that finds the port of %s taken says so, names the setting, and ends with everything it had started',
    async (name) => {
      const { code, output } = await up({ [name]: taken() });
      expect(code, output).toBe(1);
      expect(output).toContain(`${name}.port: port ${taken()} is taken by another program`);
      expect(output).not.toContain('FAULT');
      expect(await readdir(join(folder, 'data', 'redis'))).not.toContain('redis.sock');
    },
  );
});

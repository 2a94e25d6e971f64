/** The `drawbridge` command in this process: what it prints, and its exit code. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { main } from '../../src/cli/main.js';

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function drawbridge(...args: readonly string[]): Promise<CliResult> {
  const written = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
      written[name] += String(chunk);
      return true;
    }),
  );
  const before = process.exitCode;
  try {
    process.exitCode = undefined;
    return { code: await main(args), ...written };
  } finally {
    process.exitCode = before;
    for (const spy of spies) spy.mockRestore();
  }
}

/** The one JSON object that a command prints with `--json`. */
export async function drawbridgeJson(
  ...args: readonly string[]
): Promise<Record<string, unknown> & { exit: number }> {
  const { code, stdout } = await drawbridge(...args, '--json');
  return { ...(JSON.parse(stdout) as Record<string, unknown>), exit: code };
}

/** A folder with the config and the token with which commands find the API of a dashboard. The caller removes it. */
export async function makeCommandFolder(dashboardPort: number, token: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'drawbridge-command-'));
  await mkdir(join(folder, 'data', 'keys'), { recursive: true });
  await writeFile(join(folder, 'data', 'keys', 'api.token'), `${token}\n`, { mode: 0o600 });
  await writeFile(
    join(folder, 'drawbridge.yaml'),
    [
      'site: { id: site-a, name: Site A, contact: pacs@a.example.org }',
      'dataDir: data',
      `dashboard: { host: 127.0.0.1, port: ${dashboardPort} }`,
    ].join('\n'),
  );
  return folder;
}

/** DCMTK's programs as the modality (storescu, dcmsend, echoscu), as a PACS (storescp) and as a reader (dcmdump). */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.js';
import { type Result, type RunningProcess, runProcess, startProcess } from './processes.js';
import { tool } from './tools.js';

export interface Association {
  /** Default: the loopback. */
  readonly host?: string;
  readonly port: number;
  /** Calling AE title; default MODALITY. */
  readonly calling?: string;
  /** Called AE title; default DRAWBRIDGE. */
  readonly called?: string;
  /** More options of the program, as `['-xs']` for JPEG lossless. */
  readonly args?: readonly string[];
}

export interface Storescp {
  readonly port: number;
  readonly aeTitle: string;
  /** One file for each instance, data sets as they came. */
  readonly receivedFolder: string;
  output(): string;
  stop(): Promise<void>;
}

/** DCMTK waits for more to send before it fills a packet; tests would wait with it. */
const ENVIRONMENT = { TCP_NODELAY: '1' };
/** Ports are guessed, so they may be taken. */
const START_ATTEMPTS = 3;

/** C-STOREs files in one association. Proposes uncompressed transfer syntaxes unless `args` say more. */
export function storescu(files: readonly string[], to: Association): Promise<Result> {
  return run('storescu', to, files);
}

/** C-STOREs files in the transfer syntaxes that they have, in as many associations as that takes. */
export function dcmsend(files: readonly string[], to: Association): Promise<Result> {
  return run('dcmsend', to, files);
}

/** C-ECHO. */
export function echoscu(to: Association): Promise<Result> {
  return run('echoscu', to, []);
}

/** Starts a PACS that takes every SOP class and every transfer syntax, and keeps what it gets bit for bit. */
export async function startStorescp(
  options: { readonly aeTitle?: string; readonly args?: readonly string[] } = {},
): Promise<Storescp> {
  const aeTitle = options.aeTitle ?? 'PACS';
  const folder = await mkdtemp(join(tmpdir(), 'drawbridge-storescp-'));
  const receivedFolder = join(folder, 'received');
  await mkdir(receivedFolder);
  const start = async (attempt: number): Promise<RunningProcess & { readonly port: number }> => {
    const port = await freePort();
    const args = ['-v', '-aet', aeTitle, '-pm', '+xa', '-B', '-od', receivedFolder];
    try {
      const running = await startProcess({
        command: tool('dcmtk', 'storescp'),
        args: [...args, ...(options.args ?? []), String(port)],
        env: ENVIRONMENT,
        folder,
        ready: { port },
      });
      return { ...running, port };
    } catch (error) {
      if (attempt < START_ATTEMPTS) return start(attempt + 1);
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  };
  const running = await start(1);
  return {
    port: running.port,
    aeTitle,
    receivedFolder,
    output: running.output,
    async stop() {
      await running.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * What dcmdump says of a file.
 * @throws Error when it cannot read it
 */
export async function dump(file: string): Promise<string> {
  const { code, output } = await runProcess({ command: tool('dcmtk', 'dcmdump'), args: [file] });
  if (code !== 0) throw new Error(`dcmdump ended with ${code}\n${output}`);
  return output;
}

/**
 * Makes a Part 10 file from a text in dcmdump's notation.
 * @throws Error when dump2dcm refuses it
 */
export async function dumpToDicom(
  textFile: string,
  file: string,
  args: readonly string[] = [],
): Promise<void> {
  const { code, output } = await runProcess({
    command: tool('dcmtk', 'dump2dcm'),
    args: [...args, textFile, file],
  });
  if (code !== 0) throw new Error(`dump2dcm ended with ${code}\n${output}`);
}

function run(program: string, to: Association, files: readonly string[]): Promise<Result> {
  const titles = ['-aet', to.calling ?? 'MODALITY', '-aec', to.called ?? 'DRAWBRIDGE'];
  return runProcess({
    command: tool('dcmtk', program),
    args: [...titles, ...(to.args ?? []), to.host ?? '127.0.0.1', String(to.port), ...files],
    env: ENVIRONMENT,
  });
}

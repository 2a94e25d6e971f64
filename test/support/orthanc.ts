/**
 * Orthanc as the PACS: takes every caller, SOP class and transfer syntax, and gives back what it holds over its REST
 * API. Its HTTP side listens on the loopback alone; its DICOM side knows no such setting.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.js';
import { startProcess } from './processes.js';
import { tool } from './tools.js';

export interface Orthanc {
  readonly aeTitle: string;
  readonly dicomPort: number;
  readonly httpPort: number;
  readonly pid: number;
  /** The parsed answer to a GET. @throws Error on every status but 2xx */
  rest(path: string): Promise<unknown>;
  /** Orthanc's own ids of all instances that it holds. */
  instances(): Promise<string[]>;
  /** The Part 10 file of an instance. */
  downloadInstance(id: string): Promise<Buffer>;
  output(): string;
  stop(): Promise<void>;
}

export interface OrthancOptions {
  /** Default ORTHANC. */
  readonly aeTitle?: string;
  /** More settings of Orthanc; they win over ours. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

const READY_TIMEOUT_MS = 30_000;
/** Ports are guessed, so they may be taken. */
const START_ATTEMPTS = 3;

/** Starts an Orthanc with an empty storage of its own. @throws Error with its log when it does not come up */
export async function startOrthanc(options: OrthancOptions = {}): Promise<Orthanc> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start(options.aeTitle ?? 'ORTHANC', options.settings ?? {});
    } catch (error) {
      if (attempt === START_ATTEMPTS) throw error;
    }
  }
}

async function start(aeTitle: string, settings: Readonly<Record<string, unknown>>): Promise<Orthanc> {
  const [dicomPort, httpPort] = [await freePort(), await freePort()];
  const folder = await mkdtemp(join(tmpdir(), 'drawbridge-orthanc-'));
  const configFile = join(folder, 'orthanc.json');
  const config = { ...orthancConfig(aeTitle, dicomPort, httpPort, folder), ...settings };
  await writeFile(configFile, JSON.stringify(config, null, 2));
  const remove = () => rm(folder, { recursive: true, force: true });
  const running = await startProcess({
    command: tool('orthanc'),
    args: [configFile],
    // Without it, DCMTK inside Orthanc holds answers back for 40 ms each.
    env: { TCP_NODELAY: '1' },
    folder,
    ready: /Orthanc has started/,
    timeoutMs: READY_TIMEOUT_MS,
  }).catch(async (error) => {
    await remove();
    throw error;
  });

  const get = async (path: string): Promise<Response> => {
    const response = await fetch(`http://127.0.0.1:${httpPort}${path}`);
    if (!response.ok) throw new Error(`Orthanc answers ${response.status} to ${path}`);
    return response;
  };
  return {
    aeTitle,
    dicomPort,
    httpPort,
    pid: running.pid,
    rest: async (path) => (await get(path)).json(),
    instances: async () => (await (await get('/instances')).json()) as string[],
    downloadInstance: async (id) => Buffer.from(await (await get(`/instances/${id}/file`)).arrayBuffer()),
    output: running.output,
    async stop() {
      // Going down in order takes it 3 s, to save what we throw away.
      running.kill('SIGKILL');
      await running.stop();
      await remove();
    },
  };
}

function orthancConfig(aeTitle: string, dicomPort: number, httpPort: number, folder: string) {
  return {
    Name: 'drawbridge-tests',
    StorageDirectory: join(folder, 'storage'),
    IndexDirectory: join(folder, 'storage'),
    Plugins: [],
    SaveJobs: false,
    HttpPort: httpPort,
    RemoteAccessAllowed: false,
    AuthenticationEnabled: false,
    DicomAet: aeTitle,
    DicomPort: dicomPort,
    DicomCheckCalledAet: false,
    DicomAlwaysAllowEcho: true,
    DicomAlwaysAllowStore: true,
    UnknownSopClassAccepted: true,
    // Orthanc up to 1.8 knows one switch for each family, later ones this list.
    AcceptedTransferSyntaxes: ['1.2.840.10008.1.*'],
    StableAge: 1,
  };
}

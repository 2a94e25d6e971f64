/** One transfer by one of our transports in a process of its own, so that its memory can be seen. Told what by JSON. */
import { rm, stat } from 'node:fs/promises';
import { parseEnvelopeId } from '../src/domain/envelope-id.js';
import { createFtpsTransport, type FtpsOptions } from '../src/transport/ftps/transport.js';
import { createHubTransport } from '../src/transport/https/hub.js';
import type { OutgoingEnvelope, Transport } from '../src/transport/transport.js';

export interface ChildTask {
  readonly act: 'put' | 'take';
  readonly to:
    | {
        readonly type: 'ftps';
        readonly options: Omit<FtpsOptions, 'password'> & { readonly password: string };
      }
    | {
        readonly type: 'https';
        readonly url: string;
        readonly fingerprint: string;
        readonly identity: { readonly certificate: string; readonly privateKey: string };
      };
  readonly envelope: { readonly id: string; readonly folder: string; readonly manifestSha256: string };
  /** A small one that is put before, so that the process is as warm as one that has run for days. */
  readonly first?: ChildTask['envelope'];
  /** Where a taken archive goes. */
  readonly file: string;
}

/** Written to standard output. */
export interface ChildResult {
  readonly seconds: number;
  readonly peakMib: number;
}

const SAMPLE_MS = 20;

const task = JSON.parse(process.argv[2] ?? '') as ChildTask;
const transport = open(task);
const { signal } = new AbortController();
const envelope: OutgoingEnvelope = { ...task.envelope, id: parseEnvelopeId(task.envelope.id) };
let peakBytes = 0;
const sampling = setInterval(() => {
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
}, SAMPLE_MS);
if (task.first !== undefined)
  await transport.put({ ...task.first, id: parseEnvelopeId(task.first.id) }, { signal });
const startedAtMs = performance.now();
if (task.act === 'put') {
  await transport.put(envelope, { signal });
} else {
  const waiting = (await transport.list({ signal })).find(({ id }) => id === envelope.id);
  if (waiting === undefined) throw new Error('the envelope does not wait there');
  await transport.take(waiting, task.file, { signal });
}
const seconds = (performance.now() - startedAtMs) / 1000;
clearInterval(sampling);
if (task.act === 'take') {
  const { size } = await stat(task.file);
  if (size === 0) throw new Error('nothing was taken');
  await transport.acknowledge(envelope.id, 'taken', signal);
  await rm(task.file);
}
transport.close();
const result: ChildResult = { seconds, peakMib: peakBytes / 1024 ** 2 };
process.stdout.write(JSON.stringify(result));

function open({ to }: ChildTask): Transport {
  if (to.type === 'ftps') return createFtpsTransport(to.options);
  return createHubTransport(
    {
      name: 'bench',
      type: 'hub',
      url: to.url,
      pollMs: 1_000,
      afterTaking: 'delete',
      trust: { certificateFingerprints: [to.fingerprint] },
    },
    to.identity,
    '0123456789abcdef',
  );
}

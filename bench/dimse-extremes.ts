/** What gets harder with size and number: one instance of 2 GB, 10,000 of 10 KB, 200 associations that only stand there. */
import { associate, type Caller } from '../test/integration/dimse-scp-caller.js';
import { drawbridge, type StartReceiver, storescp } from './dimse-receivers.js';
import type { Study } from './dimse-studies.js';
import { checkStored, dcmsend, receive, sendOurs, timed } from './dimse-turns.js';
import type { Measured } from './measure.js';

/** Peak memory for one instance, in and out; lines under a head of their own. */
export async function oneLarge(root: string, study: Study, first: Study): Promise<readonly string[]> {
  const megabytes = study.bytes / 1e6;
  const line = (what: string, { seconds, peakMib = 0 }: Measured) =>
    `| ${what} | ${(megabytes / seconds).toFixed(0)} | ${peakMib.toFixed(0)} (goal 150) |`;
  return [
    '| what | MB/s | peak RSS, MiB |',
    '|---|---|---|',
    line('in', await receive(drawbridge(), root, study, first)),
    line('out', await sendOurs(storescp('+B'), root, study, first)),
  ];
}

/** A turn of ours with associations that are open, and silent. */
export async function receiveAmongIdle(
  root: string,
  study: Study,
  first: Study,
  idle: number,
): Promise<Measured> {
  const receiver = await drawbridge()(root);
  const callers: Caller[] = [];
  try {
    await dcmsend(receiver.port, first.folders);
    for (let index = 0; index < idle; index += 1) callers.push(await associate(receiver.port));
    return await timed(receiver, study, first.files.length, () => dcmsend(receiver.port, study.folders));
  } finally {
    for (const { socket } of callers) socket.destroy();
    await Promise.all(callers.map(({ ended }) => ended));
    await receiver.stop();
  }
}

/** What one instance costs in the first and in the last part of a study, each sent by itself; a line of a table. */
export async function costByPlace(
  root: string,
  name: string,
  start: StartReceiver,
  study: Study,
  first: Study,
): Promise<string> {
  const receiver = await start(root);
  try {
    await dcmsend(receiver.port, first.folders);
    const costs: number[] = [];
    for (const folder of study.folders) {
      const startedAtMs = performance.now();
      await dcmsend(receiver.port, [folder]);
      costs.push(((performance.now() - startedAtMs) * study.folders.length) / study.files.length);
    }
    await checkStored(receiver, first.files.length + study.files.length);
    const [early = Number.NaN] = costs;
    const late = costs.at(-1) ?? Number.NaN;
    return `| ${name} | ${early.toFixed(2)} | ${late.toFixed(2)} | ${(late / early).toFixed(2)} |`;
  } finally {
    await receiver.stop();
  }
}

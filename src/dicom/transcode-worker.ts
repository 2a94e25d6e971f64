/** The thread that `transcoder.ts` starts: one conversion after the other, each answered in plain words. */
import { parentPort } from 'node:worker_threads';
import { GatewayError } from '../errors/gateway-error.js';
import { type Transcoding, transcode } from './transcode.js';

/** What this thread says of the conversion that it has last been given. */
export type TranscodeAnswer =
  | { readonly type: 'progress' }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly code: GatewayError['code']; readonly message: string };

parentPort?.on('message', async (job: Transcoding) => {
  const answer = (message: TranscodeAnswer) => parentPort?.postMessage(message);
  try {
    await transcode(job, () => answer({ type: 'progress' }));
    answer({ type: 'done' });
  } catch (error) {
    answer(failure(error));
  }
});

function failure(error: unknown): TranscodeAnswer {
  if (error instanceof GatewayError) return { type: 'failed', code: error.code, message: error.message };
  if (error instanceof Error && 'syscall' in error && 'code' in error) {
    const message = `the data disk refused a conversion: ${String(error.code)}`;
    return { type: 'failed', code: 'SPOOL_WRITE_FAILED', message };
  }
  return { type: 'failed', code: 'TRANSCODE_FAILED', message: 'the conversion failed' };
}

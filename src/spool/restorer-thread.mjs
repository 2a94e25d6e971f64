/**
 * One of the threads of `restorer`. Plain JavaScript, since a thread is started from a file as it stands.
 */
import { parentPort } from 'node:worker_threads';
import { restoreFiles, syncFiles } from './log-restore.mjs';

/**
 * @typedef {import('./restorer.js').RestorerTask} RestorerTask
 * @typedef {import('./restorer.js').RestorerResult} RestorerResult
 */

parentPort.on('message', (task) => parentPort.postMessage([run(task)]));

/** @param {RestorerTask} task @returns {RestorerResult} */
function run(task) {
  const { id } = task;
  try {
    if (task.kind === 'restore') return { id, digests: restoreFiles(task) };
    syncFiles(task.paths);
    return { id };
  } catch (error) {
    return { id, errno: error.code ?? String(error) };
  }
}

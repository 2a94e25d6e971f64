/**
 * The thread of `scribe`: gives finished files their names, durably, for all that wait at one moment together. First
 * the contents of every file reach the disk, then each gets its name, then one fsync for each folder makes the names
 * last, and only then is anyone told. Plain JavaScript, since a thread is started from a file as it stands.
 */
import { closeSync, fdatasyncSync, fsyncSync, linkSync, unlinkSync, writeSync } from 'node:fs';
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';

/**
 * @typedef {import('./scribe.js').ScribeTask} ScribeTask
 * @typedef {import('./scribe.js').ScribeResult} ScribeResult
 */

parentPort.on('message', (first) => {
  /** @type {ScribeTask[]} */
  const tasks = [first];
  for (
    let next = receiveMessageOnPort(parentPort);
    next !== undefined;
    next = receiveMessageOnPort(parentPort)
  )
    tasks.push(next.message);

  const results = tasks.map(place);
  syncFolders(tasks, results);
  parentPort.postMessage(results);
  for (const task of tasks) tidyUp(task);
});

/** @param {ScribeTask} task @returns {ScribeResult} */
function place({ id, file, tail, from, to, journal, line }) {
  if (line !== undefined) quietly(() => writeSync(journal, line));
  if (file === undefined) return { id, placed: true };
  try {
    for (let done = 0; done < tail.length; ) done += writeSync(file, tail, done);
    fdatasyncSync(file);
    linkSync(from, to);
    return { id, placed: true };
  } catch (error) {
    return error.code === 'EEXIST' ? { id, placed: false } : { id, placed: false, errno: String(error.code) };
  }
}

/** @param {ScribeTask[]} tasks @param {ScribeResult[]} results */
function syncFolders(tasks, results) {
  const folders = new Set(
    tasks.filter((task, at) => task.folder !== undefined && results[at].placed).map(({ folder }) => folder),
  );
  for (const folder of folders) {
    try {
      fsyncSync(folder);
    } catch (error) {
      tasks.forEach((task, at) => {
        if (task.folder !== folder || !results[at].placed) return;
        results[at] = { id: task.id, placed: false, errno: String(error.code) };
        // Nobody is told of it: the same instance may come again.
        quietly(() => unlinkSync(task.to));
      });
    }
  }
}

/** What may be left undone. @param {ScribeTask} task */
function tidyUp({ file, from }) {
  if (file === undefined) return;
  quietly(() => closeSync(file));
  quietly(() => unlinkSync(from));
}

function quietly(act) {
  try {
    act();
  } catch {
    // As if it had not been tried.
  }
}

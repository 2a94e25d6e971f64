/**
 * `npm test`, and what it came to. Where a few files failed, they run once more, each with the machine to itself: a test
 * that fails again has failed; one that passes then is told by its name as unsteady, which is a defect to be mended, of the
 * test or of what it tests, though not one of the change that was to be judged.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { relative } from 'node:path';

/** More than so many are no coincidence. */
const MAX_UNSTEADY_FILES = 3;

const first = run('.cache/tests.json');
const doubtful = first.files.filter(({ status }) => status === 'failed');
const isWorthAnotherLook = doubtful.length > 0 && doubtful.length <= MAX_UNSTEADY_FILES;
const again = isWorthAnotherLook
  ? run('.cache/tests-again.json', [
      '--no-file-parallelism',
      ...doubtful.map(({ name }) => relative('.', name)),
    ])
  : undefined;

const steady = first.files.filter((file) => !doubtful.includes(file));
const files = again === undefined ? first.files : [...steady, ...again.files];
const tests = files.flatMap(({ assertionResults }) => assertionResults);
const passed = tests.filter(({ status }) => status === 'passed').length;
const skipped = tests.filter(({ status }) => status !== 'passed' && status !== 'failed').length;
// A file that cannot be read in has no tests that could fail.
const unread = files.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
const failed = tests.length - passed + unread.length;

for (const { name } of unread) console.log(`not run: ${name}`);
if (skipped > 0) console.log(`${skipped} skipped, which CI takes for failed`);
const isWhole = files.length === first.files.length && (again ?? first).exitCode === 0;
if (again !== undefined && failed === 0 && isWhole)
  for (const name of failuresOf(doubtful)) console.log(`unsteady: ${name}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = isWhole && failed === 0 && passed > 0 ? 0 : 1;

function run(outputFile, args = []) {
  mkdirSync('.cache', { recursive: true });
  rmSync(outputFile, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', '--outputFile.json', outputFile];
  const { status } = spawnSync('npm', ['test', '--', ...reporters, ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const result = existsSync(outputFile) ? JSON.parse(readFileSync(outputFile, 'utf8')) : { testResults: [] };
  return { exitCode: status, files: result.testResults };
}

/** What failed, by file and name; the file alone where it could not be read in, or its set-up failed. */
function failuresOf(files) {
  return files.flatMap(({ name, assertionResults }) => {
    const broken = assertionResults.filter(({ status }) => status === 'failed');
    return broken.length === 0
      ? [relative('.', name)]
      : broken.map(({ fullName }) => `${relative('.', name)}: ${fullName}`);
  });
}

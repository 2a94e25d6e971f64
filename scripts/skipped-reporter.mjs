/** Names every skipped test at the end of a run: vitest itself only counts them. */
export default class SkippedReporter {
  onTestRunEnd(files) {
    for (const file of files) {
      for (const test of file.children.allTests('skipped')) console.log(`skipped: ${test.fullName}`);
    }
  }
}

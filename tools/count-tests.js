// Prints the number of tests from vitest's JSON report, given as the argument. Fails when the report has a failure or no test at all,
// because a run that found no tests must not look like a success.
import { readFileSync } from 'node:fs'

const [file = ''] = process.argv.slice(2)
const report = JSON.parse(readFileSync(file, 'utf8') || '{}')
const { numPassedTests = 0, numFailedTests = 0, numFailedTestSuites = 0, success = false } = report
// A file that fails outside of its tests is a failure without a failed test.
const brokenFiles = (report.testResults ?? []).filter(
  ({ status, assertionResults }) =>
    status === 'failed' && !assertionResults.some((result) => result.status === 'failed'),
).length
const failed = numFailedTests + brokenFiles
process.stdout.write(`${numPassedTests} passed, ${failed} failed\n`)
if (!success || failed > 0 || numFailedTestSuites > 0 || numPassedTests === 0) process.exitCode = 1

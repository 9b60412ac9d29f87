import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** A time-out that a test names itself: of a wait, a test or a hook. Those of what is tested have other names, `timeouts` included. */
const ownTimeouts: readonly (readonly [string, RegExp])[] = [
  ['a wait with a time-out', /\btimeout: [\d_]+/],
  ['a wait with a number', /\b(?:waitFor|waitUntil)\(.*, [\d_]{3,}\)/],
  ['a test or hook with a number', /^ *\}, [\d_]{4,}\)$/],
  ['a setting of vitest', /\b(?:testTimeout|hookTimeout):/],
  ['the clock for a deadline', /\b(?:Date|performance)\.now\(\) - \w+\)?\.toBeLessThan/],
]

const files = globSync(['test/**/*.ts', 'packages/*/test/**/*.ts']).filter(
  (file) => !file.includes('node_modules') && !file.endsWith('architecture/patience.test.ts'),
)

const found = files.flatMap((file) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line, place) =>
      ownTimeouts
        .filter(([, pattern]) => pattern.test(line))
        .map(([what]) => `${file}:${place + 1}: ${what}: ${line.trim()}`),
    ),
)

test('no test names a time-out of its own: test/support/run/patience.ts says how long it waits', () => {
  expect(files.length).toBeGreaterThan(200)
  expect(found).toEqual([])
})

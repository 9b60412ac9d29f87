// `npm run check:expressions`: no regular expression of the product takes more than linear time, whatever it is given. All are
// checked and not only those that see client text: which do is a matter of who calls them, and that changes.
//
//     node tools/regular-expressions/main.ts FOLDER…
import { globSync } from 'node:fs'
import { check } from 'recheck'
import { collectExpressions, type Expression } from './collect.ts'

// A busy machine must not change the result: the slowest check takes a second today. The limit only stops an expression that the tool
// cannot handle.
const limits = { timeout: 300_000, attackTimeout: null, incubationTimeout: null }

/**
 * Why an expression is refused. Undefined when its time is at most linear: proven by its automaton or, where there is none (for look-ahead
 * and long counted repetitions), by a search for an attack without a result. The search has a fixed seed.
 */
const faultOf = async ({ source, flags }: Expression): Promise<string | undefined> => {
  const result = await check(source, flags, limits)
  if (result.status === 'safe') return undefined
  if (result.status === 'unknown') return `cannot be checked: ${result.error.kind}`
  return `takes ${result.complexity.summary} time, for example with ${result.attack.pattern}`
}

const files = process.argv
  .slice(2)
  .flatMap((folder) => globSync(`${folder}/**/*.ts`))
  .sort()
if (files.length === 0) throw new Error('no TypeScript file in these folders')
const { expressions, unreadable } = collectExpressions(files)
const faults = unreadable.map((place) => `${place} is put together at run time: write a constant`)
for (const expression of expressions) {
  const fault = await faultOf(expression)
  if (fault === undefined) continue
  faults.push(`${expression.place} /${expression.source}/${expression.flags} ${fault}`)
}
for (const fault of faults) process.stderr.write(`${fault}\n`)
process.stdout.write(`${expressions.length} regular expressions, ${faults.length} faults\n`)
process.exitCode = faults.length === 0 ? 0 : 1

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const testFiles = (): string[] =>
  readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(test|contract)\.ts$/.test(file))
    .map((file) => join('test', file))
    .toSorted()

/** `R42:`, `R41, R42:` or `R41 R42:` where the name of a test begins, in any kind of quotes. */
const namesOfRows = /(?<=['"`])R\d+(?:,? R\d+)*(?=:)/g

/** For each row of the security requirements the files that hold tests which begin with its number. */
export const requirementTests = (): Map<number, string[]> => {
  const found = new Map<number, string[]>()
  for (const file of testFiles()) {
    const numbers = [...readFileSync(file, 'utf8').matchAll(namesOfRows)].flatMap(([rows]) =>
      [...rows.matchAll(/\d+/g)].map(Number),
    )
    for (const number of new Set(numbers)) {
      found.set(number, [...(found.get(number) ?? []), file])
    }
  }
  return found
}

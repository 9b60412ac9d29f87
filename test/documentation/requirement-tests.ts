import { globSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const testFilesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(test|contract)\.ts$/.test(file))
    .map((file) => join(folder, file))
    .toSorted()

/** Those of the service, then those of the packages. */
const testFiles = (): string[] =>
  ['test', ...globSync('packages/*/test').toSorted()].flatMap(testFilesIn)

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

import { readFileSync } from 'node:fs'

/** A page of the documentation, by its path from the root of the project. */
export const readPage = (path: string): string => readFileSync(path, 'utf8')

/** The cells of every table row of a text, without the rules under the heads; `\|` inside a cell is a plain bar. */
export const tableRows = (markdown: string): string[][] =>
  markdown
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[-|\s]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim().replaceAll('\\|', '|')),
    )

/** `name` of a cell that is exactly `` `name` ``. */
export const codeOf = (cell: string | undefined): string | undefined =>
  /^`([^`]+)`$/.exec(cell ?? '')?.[1]

/** The text below each heading of this level, up to the next heading of it or a higher one. */
export const sections = (markdown: string, level: number): Map<string, string> => {
  const heading = new RegExp(`^#{1,${level}} `)
  const found = new Map<string, string>()
  let name: string | undefined
  for (const line of markdown.split('\n')) {
    if (heading.test(line)) {
      name = line.startsWith(`${'#'.repeat(level)} `) ? line.slice(level + 1) : undefined
      if (name !== undefined) found.set(name, '')
    } else if (name !== undefined) {
      found.set(name, `${found.get(name)}${line}\n`)
    }
  }
  return found
}

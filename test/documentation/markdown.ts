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

export type CodeBlock = {
  /** What stands behind the opening fence: a language, and for some a file name. */
  readonly info: string
  readonly code: string
  /** Of the opening fence, from 1. */
  readonly line: number
}

/** Every fenced block of a page, in order. */
export const codeBlocks = (page: string): CodeBlock[] => {
  const text = readPage(page)
  return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map((match) => {
    const [, info = '', code = ''] = match
    return { info, code, line: text.slice(0, match.index).split('\n').length }
  })
}

/** The code of the one block that holds this text. */
export const codeBlock = (page: string, holding: string): string => {
  const found = codeBlocks(page).filter(({ code }) => code.includes(holding))
  const [block] = found
  if (!block || found.length > 1) {
    throw new Error(`${page} has ${found.length} blocks with ${holding}, and not one`)
  }
  return block.code
}

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

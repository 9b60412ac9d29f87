import { spawnSync } from 'node:child_process'

/** One command of a transcript, and the lines that it is said to print. */
export type Step = { readonly command: string; readonly output: readonly string[] }

/** The contents of the ```console blocks of a page, in order. */
export const consoleBlocks = (markdown: string): string[] =>
  [...markdown.matchAll(/^```console\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block)

/** Whether bash would run this, or wait for more lines. */
const isComplete = (command: string): boolean =>
  !command.endsWith('\\') && spawnSync('bash', ['-n', '-c', command]).status === 0

/**
 * A command begins after `$ ` and goes on for as many lines as bash needs; what follows, up to the next `$ `, is its output.
 * @throws when a command never ends, or output stands before the first command
 */
export const stepsOf = (block: string): Step[] => {
  const steps: { command: string; output: string[] }[] = []
  let open: string | undefined
  for (const line of block.split('\n')) {
    const step = steps.at(-1)
    if (open !== undefined) open += `\n${line}`
    else if (line.startsWith('$ ')) open = line.slice(2)
    else if (step) step.output.push(line)
    else if (line !== '') throw new Error(`output before the first command: ${line}`)
    if (open !== undefined && isComplete(open)) {
      steps.push({ command: open, output: [] })
      open = undefined
    }
  }
  if (open !== undefined) throw new Error(`a command that never ends: ${open}`)
  return steps.map(({ command, output }) => ({
    command,
    output: output.join('\n').trim().split('\n'),
  }))
}

/** What differs from run to run, by its shape. The first that fits a place wins. */
const shapes: readonly (readonly [shown: string, matches: string])[] = [
  // An access token, cut where the page shows `…`.
  ['eyJ[\\w-]+…', 'eyJ[\\w-]+\\.[\\w-]+\\.[\\w-]+'],
  [
    '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z',
    '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z',
  ],
  // An id: 16 bytes in base64url.
  ['(?<![\\w-])[\\w-]{21}[AQgw](?![\\w-])', '[\\w-]{21}[AQgw]'],
]

const anyShape = new RegExp(shapes.map(([shown]) => `(${shown})`).join('|'), 'g')

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

const lineExpression = (line: string): string => {
  let expression = ''
  let end = 0
  for (const match of line.matchAll(anyShape)) {
    const [, ...groups] = match
    const shape = shapes[groups.findIndex((group) => group !== undefined)]
    expression += literal(line.slice(end, match.index)) + (shape?.[1] ?? '')
    end = match.index + match[0].length
  }
  return expression + literal(line.slice(end))
}

/**
 * What a page shows, as an expression for what is printed: word for word, but for the shapes above; a line that is only `…` stands for any
 * lines, or none. White space at the end of the whole is ignored.
 */
const expressionOf = (output: readonly string[]): RegExp => {
  const lines = output.map((line) => (line === '…' ? '(?:.*\\n)*?' : `${lineExpression(line)}\\n`))
  return new RegExp(`^${lines.join('')}$`)
}

export const shows = (output: readonly string[], printed: string): boolean =>
  expressionOf(output).test(`${printed.trimEnd()}\n`)

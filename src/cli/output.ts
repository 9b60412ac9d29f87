import { exitCodes, type Failure } from '../explain-failure.ts'
import { isId } from '../lib/machine.ts'

/** An option of every command except `serve`, whose output is its log. */
export const jsonOption = ['--json', 'print one JSON document; failures as JSON on stderr'] as const

export type OutputOptions = { readonly json?: true }

const print = (text: string): void => {
  process.stdout.write(text)
}

/**
 * Prints one JSON document for scripts, or lines for people. Never pass it a secret, because terminals and scripts keep what they print.
 * The only exceptions are those without another way out: the secret of a new service client, and the keys of sealed sessions.
 */
export const printResult = (
  { json }: OutputOptions,
  document: unknown,
  lines: readonly string[],
): void => print(json ? `${JSON.stringify(document)}\n` : lines.map((line) => `${line}\n`).join(''))

/** `name  value` lines with aligned values. */
export const factLines = (facts: Readonly<Record<string, string | number>>): string[] => {
  const width = Math.max(...Object.keys(facts).map((name) => name.length))
  return Object.entries(facts).map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd())
}

/** One id in 64 begins with `-`. Commander takes whatever follows `--sid` as its value, and this checks it. */
export const assertId = (option: string, id: string | undefined): void => {
  if (id !== undefined && !isId(id)) {
    throw usageError(`${option} is not an id`, 'an id is 22 characters of A-Z a-z 0-9 _ and -')
  }
}

/** A refusal of the command itself. `explain-failure.ts` explains other failures. */
export class CommandError extends Error {
  readonly failure: Failure

  constructor(code: string, message: string, hint: string, exitCode: number = exitCodes.failed) {
    super(message)
    this.name = 'CommandError'
    this.failure = { messages: [message], hint, code, exitCode }
  }
}

/** The command line is wrong, and nothing was done. The message quotes nothing that could be a secret. */
export const usageError = (message: string, hint: string): CommandError =>
  new CommandError('usage', message, hint, exitCodes.usage)

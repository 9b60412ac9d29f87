import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { CommandError, usageError } from './output.ts'

/** The exit code that shells report after Ctrl-C. */
const interruptedExitCode = 130

/** Longer than any password. A file that is piped in by mistake is refused at once. */
const longestLineBytes = 4096

const interrupted = () =>
  new CommandError('interrupted', 'nothing was done', 'run the command again', interruptedExitCode)

/** Whether standard input is a terminal. */
export const isInteractive = (): boolean => process.stdin.isTTY === true

/** Discards what readline would echo. */
const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() })

type Asking = { readonly questions: readonly string[]; readonly isHidden: boolean }

/**
 * Reads the replies to all questions, in order. Questions go to stderr, so that stdout contains only the result. One reader serves all:
 * between two readers, the terminal would show what is typed.
 * @throws interrupted on Ctrl-C, and on Ctrl-D in an empty line
 */
const ask = async ({ questions, isHidden }: Asking): Promise<string[]> => {
  const reader = createInterface({
    input: process.stdin,
    output: isHidden ? nowhere() : process.stderr,
    terminal: true,
    // A password must not reappear with the arrow key at the next question.
    historySize: 0,
  })
  const lines = reader[Symbol.asyncIterator]()
  const answers: string[] = []
  try {
    for (const question of questions) {
      if (isHidden) process.stderr.write(question)
      else reader.setPrompt(question)
      reader.prompt()
      const line = await lines.next()
      if (isHidden || line.done) process.stderr.write('\n')
      if (line.done) throw interrupted()
      answers.push(line.value)
    }
    return answers
  } finally {
    reader.close()
  }
}

/** Anything except `yes` means no. */
export const askYes = async (question: string): Promise<boolean> => {
  const questions = [`${question} Type yes to continue: `]
  const [answer] = await ask({ questions, isHidden: false })
  return answer?.trim() === 'yes'
}

const decode = (bytes: Buffer): string => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw usageError('the password on standard input is not UTF-8', 'send it as UTF-8 text')
  }
}

/**
 * The first line of standard input, without its end (`
 * ` or `\r
 * `). The rest is not read.
 */
const readFirstLine = async (): Promise<string> => {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk)
    const end = bytes.indexOf(0x0a)
    chunks.push(end === -1 ? bytes : bytes.subarray(0, end))
    length += bytes.length
    // Leaving the loop closes standard input, so that an endless sender does not keep the process alive.
    if (end !== -1) break
    if (length > longestLineBytes) {
      throw usageError('the first line of standard input is too long', 'send the password alone')
    }
  }
  return decode(Buffer.concat(chunks)).replace(/\r$/, '')
}

/**
 * Reads a new password: typed twice without echo, or the first line of standard input. Never an argument, because every user of the machine
 * can see arguments, and the shell keeps them in its history.
 */
export const readNewPassword = async (): Promise<string> => {
  if (!isInteractive()) {
    const line = await readFirstLine()
    if (line !== '') return line
    throw usageError(
      'there is no password on standard input',
      'send it as the first line, or run the command in a terminal and type it',
    )
  }
  const questions = ['password: ', 'once more: ']
  const [password = '', again] = await ask({ questions, isHidden: true })
  if (again === password) return password
  throw usageError('the two passwords differ', 'run the command again')
}

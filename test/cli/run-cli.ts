import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { vi } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'
import { startsFaster } from '../support/programs/compile-cache.ts'

export const cliPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export type Ran = {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** The one JSON document on standard output. */
  // biome-ignore lint/suspicious/noExplicitAny: a test asserts on whatever came
  readonly json: () => any
}

export type CliSettings = Readonly<Record<string, string>>

/** Nothing of the environment of the test itself: a variable of the developer's would change the outcome. */
const environmentOf = (settings: CliSettings): Record<string, string> => ({
  PATH: '/usr/bin:/bin:/usr/sbin:/sbin',
  ...settings,
})

export const startCli = (args: readonly string[], settings: CliSettings): ChildProcess =>
  spawn(process.execPath, [cliPath, ...args], {
    env: { ...startsFaster, ...environmentOf(settings) },
    stdio: ['pipe', 'pipe', 'pipe'],
  })

const textOf = (stream: NodeJS.ReadableStream | null): (() => string) => {
  let text = ''
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

const ranWith = (code: number | null, stdout: string, stderr: string): Ran => ({
  code,
  stdout,
  stderr,
  json: () => JSON.parse(stdout),
})

/** The real command line as a process of its own, to its end. A start costs a second of a busy machine: once a command is enough. */
export const runCliProcess = async (
  args: readonly string[],
  settings: CliSettings,
  input: string | Buffer = '',
): Promise<Ran> => {
  const child = startCli(args, settings)
  const stdout = textOf(child.stdout)
  const stderr = textOf(child.stderr)
  // A command that refuses its arguments ends before it has read anything.
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(input)
  const [code] = await once(child, 'close')
  return ranWith(code, stdout(), stderr())
}

/** Collects what is written to the stream of this process instead of writing it. */
const captured = (stream: NodeJS.WriteStream) => {
  let text = ''
  const spy = vi.spyOn(stream, 'write').mockImplementation((chunk) => {
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
    return true
  })
  return { text: () => text, restore: () => spy.mockRestore() }
}

/**
 * The same command in this process: standard input, output, environment and exit code are the command's until it ends. One at a time.
 */
export const runCli = async (
  args: readonly string[],
  settings: CliSettings,
  input: string | Buffer = '',
): Promise<Ran> => {
  const { env, exitCode } = process
  const stdin = Object.getOwnPropertyDescriptor(process, 'stdin')
  const [stdout, stderr] = [captured(process.stdout), captured(process.stderr)]
  process.env = environmentOf(settings)
  process.exitCode = undefined
  Object.defineProperty(process, 'stdin', {
    value: Readable.from([Buffer.from(input)], { objectMode: false }),
    configurable: true,
  })
  try {
    const code = await runCommandLine(args)
    return ranWith(code, stdout.text(), stderr.text())
  } finally {
    process.env = env
    process.exitCode = exitCode
    if (stdin) Object.defineProperty(process, 'stdin', stdin)
    stdout.restore()
    stderr.restore()
  }
}

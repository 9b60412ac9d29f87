import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

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
export const startCli = (args: readonly string[], settings: CliSettings): ChildProcess =>
  spawn(process.execPath, [cliPath, ...args], {
    env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', ...settings },
    stdio: ['pipe', 'pipe', 'pipe'],
  })

const textOf = (stream: NodeJS.ReadableStream | null): (() => string) => {
  let text = ''
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

/** The real command line as a process of its own, to its end. */
export const runCli = async (
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
  return { code, stdout: stdout(), stderr: stderr(), json: () => JSON.parse(stdout()) }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Program } from './debian-packages.ts'

export type ForeignProcess = {
  /** Sends one line of JSON and resolves with the one that comes back; rejects with what the process wrote when it ended instead. */
  // biome-ignore lint/suspicious/noExplicitAny: a test asserts on whatever came
  readonly ask: (question: unknown) => Promise<any>
  readonly stop: () => Promise<void>
}

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

/** A program of another language that answers each line of its standard input with one line. Ends with its input, so also with this process. */
export const startForeign = (
  program: Program,
  args: readonly string[],
  folder: string,
): ForeignProcess => {
  const child = spawn(program.path, args, {
    cwd: folder,
    env: program.env,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let complaints = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk.toString()
  })
  child.on('error', (error) => {
    complaints += String(error)
  })
  // Writing to a process that has ended is told by the missing answer.
  child.stdin.on('error', () => undefined)
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return {
    ask: async (question) => {
      child.stdin.write(`${JSON.stringify(question)}\n`)
      const { value, done } = await lines.next()
      if (done) throw new Error(`${program.path} ended:\n${complaints}`)
      return JSON.parse(value)
    },
    stop: async () => {
      await end(child)
    },
  }
}

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Call, Calls, Reply } from './calls.ts'

/** Settings of a started process: flags of Node, and additional environment variables. */
export type NodeSettings = {
  readonly flags: readonly string[]
  readonly environment: Readonly<Record<string, string>>
}

export type ChildOptions = {
  /** The core it runs on. Undefined: any. */
  readonly core: number | undefined
  /** Where a CPU profile is written when the child ends. Undefined: none. */
  readonly profileFolder: string | undefined
  readonly node: NodeSettings
}

type Waiting = {
  readonly resolve: (output: unknown) => void
  readonly reject: (error: Error) => void
}

/** A separate process that serves the calls of its program. */
export type Child<Offered extends Calls> = {
  readonly pid: number
  readonly call: <Name extends keyof Offered & string>(
    name: Name,
    input: Parameters<Offered[Name]>[0],
  ) => Promise<Awaited<ReturnType<Offered[Name]>>>
  readonly end: () => Promise<void>
}

const startProcess = (program: URL, { core, profileFolder, node }: ChildOptions): ChildProcess => {
  const profiling =
    profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`]
  const nodeArgs = [...node.flags, ...profiling]
  return fork(fileURLToPath(program), [], {
    // The log is discarded. In production it goes to a collector, so writing it stays part of the cost.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // Keys and handles are Buffers.
    serialization: 'advanced',
    env: { ...process.env, ...node.environment },
    ...(core === undefined
      ? { execArgv: nodeArgs }
      : { execPath: 'taskset', execArgv: ['-c', String(core), process.execPath, ...nodeArgs] }),
  })
}

/** Starts `program`, a file that calls `answerCalls` at its end. It ends with this process. */
export const startChild = <Offered extends Calls>(
  program: URL,
  options: ChildOptions,
): Child<Offered> => {
  const child = startProcess(program, options)
  const waiting = new Map<number, Waiting>()
  let lastId = 0
  child.on('message', (reply: Reply) => {
    const call = waiting.get(reply.id)
    waiting.delete(reply.id)
    if ('error' in reply) call?.reject(new Error(reply.error))
    else call?.resolve(reply.output)
  })
  child.on('exit', (code) => {
    for (const call of waiting.values())
      call.reject(new Error(`${program.pathname} ended with ${code}`))
  })
  return {
    pid: child.pid ?? 0,
    call: (name, input) =>
      new Promise((resolve, reject) => {
        lastId += 1
        // Both ends are compiled with the same `Offered`.
        waiting.set(lastId, { resolve, reject } as Waiting)
        child.send({ id: lastId, name, input } satisfies Call)
      }),
    end: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    },
  }
}

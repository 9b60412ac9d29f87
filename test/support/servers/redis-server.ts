import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connectRedis, type RedisConnection } from '../../../src/infra/redis/redis.ts'
import { systemRandom } from '../../../src/lib/machine.ts'
import type { Program } from '../programs/debian-packages.ts'
import { scratchFolder } from '../programs/scratch-folder.ts'
import { findRedis } from './find-redis.ts'
import { freePort } from './free-port.ts'

/** The command timeout, in milliseconds, for connections of tests that are not about a Redis that is too slow. */
export const patientRedisMs = 60_000

/** As the service connects, but for the command timeout. */
export const connectPatiently = (url: string): RedisConnection =>
  connectRedis(url, {
    random: systemRandom,
    onError: () => undefined,
    commandTimeoutMs: patientRedisMs,
  })

export type RedisServer = {
  readonly url: string
  readonly port: number
  /** Of the process that runs now; another one after `restart`. */
  readonly pid: number
  /** Ends the server for good and removes its folder. */
  readonly stop: () => Promise<void>
  /** As by a power cut: connections break, the memory is lost. `restart` brings an empty one back. */
  readonly kill: () => Promise<void>
  /** A new, empty server on the same port, after ending the old one. */
  readonly restart: () => Promise<void>
  /** Connections stay open and nothing is answered, until `thaw`. */
  readonly freeze: () => void
  readonly thaw: () => void
}

const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null

const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
  if (hasEnded(child)) return
  const ended = once(child, 'exit')
  // A frozen process takes no signal but this one.
  child.kill('SIGCONT')
  child.kill(signal)
  await ended
}

/** Resolves when the server says that it accepts connections. */
const launch = async (binary: Program, args: readonly string[], folder: string) => {
  const child = spawn(binary.path, args, {
    env: binary.env,
    cwd: folder,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  await new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      log += chunk.toString()
      if (log.includes('eady to accept connections')) resolve()
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`redis-server did not start:\n${log.slice(-2000)}`)))
  })
  return child
}

/** A Redis of the test's own, empty and without persistence, on a free port of the loopback. `args` are more of its options. */
export const startRedis = async (
  options: { args?: readonly string[] } = {},
): Promise<RedisServer> => {
  const binary = await findRedis()
  const folder = await scratchFolder('redis')
  const port = await freePort()
  const base = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const args = [...base, ...(options.args ?? [])]
  const start = async () => {
    const child = await launch(binary, args, folder.path)
    folder.watch(child.pid ?? '')
    return child
  }
  const first = await start().catch(async (error: unknown) => {
    await folder.remove()
    throw error
  })
  let current = first
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return current.pid ?? 0
    },
    stop: async () => {
      await end(current, 'SIGTERM')
      await folder.remove()
    },
    kill: async () => {
      await end(current, 'SIGKILL')
      folder.watch('')
    },
    restart: async () => {
      await end(current, 'SIGTERM')
      current = await start()
    },
    freeze: () => {
      current.kill('SIGSTOP')
    },
    thaw: () => {
      current.kill('SIGCONT')
    },
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../servers/free-port.ts'
import type { Program } from './debian-packages.ts'
import { scratchFolder } from './scratch-folder.ts'

/** Where the proxy sends requests, as `host:port`. */
export type Upstreams = { readonly cardea: string; readonly app: string }

/** What a proxy is started with, in a folder of its own. */
export type Launch = {
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export type Prepare = (place: {
  readonly folder: string
  readonly port: number
  readonly upstreams: Upstreams
}) => Promise<Launch>

export type RunningProxy = {
  readonly port: number
  /** What it wrote, for the message of a failed test. */
  readonly output: () => string
  readonly stop: () => Promise<void>
}

/** A file of `deploy/proxies`, with lines replaced that a user edits too. Each must be there, once. */
export const deployed = async (
  path: string,
  edits: Readonly<Record<string, string>> = {},
): Promise<string> => {
  const file = join(fileURLToPath(new URL('../../../deploy/proxies/', import.meta.url)), path)
  let text = await readFile(file, 'utf8')
  for (const [from, to] of Object.entries(edits)) {
    const parts = text.split(from)
    if (parts.length !== 2) throw new Error(`${path} has ${parts.length - 1} times: ${from}`)
    text = parts.join(to)
  }
  return text
}

const accepts = async (port: number): Promise<boolean> => {
  const socket = connect(port, '127.0.0.1')
  const isOpen = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return isOpen
}

const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null

const end = async (child: ChildProcess): Promise<void> => {
  if (hasEnded(child)) return
  const ended = once(child, 'exit')
  child.kill('SIGINT')
  // One that waits for a request of a failed test to end.
  const force = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await ended
  clearTimeout(force)
}

/** Starts a proxy on a free port of the loopback; resolves when it listens. */
export const startProxyProcess = async (
  program: Program,
  upstreams: Upstreams,
  prepare: Prepare,
): Promise<RunningProxy> => {
  const folder = await scratchFolder('proxy')
  const port = await freePort()
  const { args, env } = await prepare({ folder: folder.path, port, upstreams })
  const child = spawn(program.path, args, {
    cwd: folder.path,
    env: { ...program.env, HOME: folder.path, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  folder.watch(child.pid ?? '')
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  child.once('error', (error) => {
    output += String(error)
  })
  const stop = async () => {
    await end(child)
    await folder.remove()
  }
  while (!(await accepts(port))) {
    if (hasEnded(child) || child.pid === undefined) {
      await folder.remove()
      throw new Error(`${program.path} did not start:\n${output.slice(-4000)}`)
    }
    await pause(20)
  }
  return { port, output: () => output, stop }
}

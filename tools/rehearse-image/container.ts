import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { delimiter, join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Image } from './build.ts'

type Environment = Readonly<Record<string, string>>

/** `node`, the user of the base image that the Dockerfile names. Anybody but root can only be themselves. */
const identity = (image: Image) => {
  if (image.user !== 'node') throw new Error(`the image would run as ${image.user ?? 'root'}`)
  return process.getuid?.() === 0 ? { uid: 1000, gid: 1000 } : {}
}

const start = (image: Image, [program = '', ...args]: readonly string[], settings: Environment) => {
  // Nothing of this machine's environment: what the image and the settings do not say is not there.
  const path = [join(image.root, 'usr/local/bin'), settings['PATH'] ?? ''].join(delimiter)
  const env = { ...image.env, ...settings, PATH: path }
  const cwd = join(image.root, image.workdir)
  return spawn(program, args, { cwd, env, ...identity(image), stdio: 'pipe' })
}

const textOf = (stream: Readable): (() => string) => {
  let text = ''
  stream.on('data', (chunk) => {
    text += String(chunk)
  })
  return () => text
}

export type Outcome = {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

/** Runs one command in the image, as `docker run` or `docker exec` would. */
export const run = async (
  image: Image,
  command: readonly string[],
  settings: Environment,
  input = '',
): Promise<Outcome> => {
  const child = start(image, command, settings)
  const [output, errors] = [textOf(child.stdout), textOf(child.stderr)]
  child.stdin.end(input)
  await once(child, 'close')
  return { code: child.exitCode, output: output(), errors: errors() }
}

export type Container = {
  /** Everything it wrote until now. */
  readonly log: () => string
  readonly hasEnded: () => boolean
  /** Sends the image's stop signal. @returns the exit code, null when it had to be killed */
  readonly stop: (patienceMs: number) => Promise<number | null>
}

/** Runs the image's CMD. */
export const startContainer = (image: Image, settings: Environment): Container => {
  const child = start(image, image.command, settings)
  child.stdin.end()
  const [output, errors] = [textOf(child.stdout), textOf(child.stderr)]
  const ended = once(child, 'exit')
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null
  return {
    log: () => output() + errors(),
    hasEnded,
    stop: async (patienceMs) => {
      if (!hasEnded()) process.kill(child.pid ?? 0, image.stopSignal)
      const killer = setTimeout(() => child.kill('SIGKILL'), patienceMs)
      await ended
      clearTimeout(killer)
      return child.exitCode
    },
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { machineEnvironment } from '../support/machine-environment.ts'
import { scratchFolder } from '../support/scratch-folder.ts'
import type { Step } from './transcript.ts'

/** A clone of this repository in a folder of its own, in which `npm start` runs. */
export type Clone = {
  readonly path: string
  /** On which the service listens. */
  readonly port: number
  /** What the start printed. */
  readonly started: string
  /** Runs the commands one after the other in one shell, as somebody pastes them, and says what each printed. */
  readonly runInShell: (steps: readonly Step[]) => Promise<string[]>
  /** A command of a terminal of its own that does not come back; ends with the clone at the latest. */
  readonly startInShell: (command: string) => ChildProcess
  readonly stop: () => Promise<void>
}

const parts = [
  'src',
  'migrations',
  'tools',
  'packages',
  'examples',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
]

/** What git would not have: built, installed. */
const isOfGit = (path: string): boolean => !['dist', 'node_modules'].includes(basename(path))

/**
 * As `git clone` and the installation would leave it, without either. The dependencies are the installed ones, but for what an
 * installation links to the clone itself.
 */
const makeClone = (path: string): void => {
  for (const name of parts) {
    cpSync(resolve(name), join(path, name), { recursive: true, filter: isOfGit })
  }
  const modules = join(path, 'node_modules')
  mkdirSync(join(modules, '@cardea'), { recursive: true })
  mkdirSync(join(modules, '.bin'))
  for (const folder of ['', '.bin']) {
    for (const name of readdirSync(resolve('node_modules', folder))) {
      if (['.bin', '.cache', '.cardea-setup', '@cardea', 'cardea'].includes(name)) continue
      symlinkSync(resolve('node_modules', folder, name), join(modules, folder, name))
    }
  }
  for (const name of readdirSync(join(path, 'packages'))) {
    symlinkSync(join(path, 'packages', name), join(modules, '@cardea', name))
  }
  symlinkSync(join(path, 'src', 'cli', 'main.ts'), join(modules, '.bin', 'cardea'))
  // Says that all of this is installed: see tools/setup.js.
  const lock = readFileSync(join(path, 'package-lock.json'))
  writeFileSync(join(modules, '.cardea-setup'), createHash('sha256').update(lock).digest('hex'))
}

/** What `npm start` runs once everything is installed. */
const startScript = (): string => JSON.parse(readFileSync('package.json', 'utf8')).scripts.start

const startService = async (
  path: string,
  port: number,
): Promise<{ service: ChildProcess; started: string }> => {
  const { PATH: programs = '', ...others } = machineEnvironment({ PORT: String(port) })
  const env = { ...others, PATH: `${join(path, 'node_modules', '.bin')}:${programs}` }
  const service = spawn('sh', ['-c', startScript()], { cwd: path, env })
  let started = ''
  await new Promise<void>((ready, failed) => {
    const read = (chunk: Buffer) => {
      started += chunk.toString()
      // The last line of what a start prints.
      if (started.includes('/.well-known/jwks.json\n')) ready()
    }
    service.stdout.on('data', read)
    service.stderr.on('data', read)
    service.once('exit', () => failed(new Error(`the service did not start:\n${started}`)))
  })
  return { service, started }
}

const mark = '@@ the next command @@'

const runSteps = async (shell: ChildProcess, steps: readonly Step[]): Promise<string[]> => {
  let printed = ''
  let complaints = ''
  shell.stdout?.on('data', (chunk) => {
    printed += chunk
  })
  shell.stderr?.on('data', (chunk) => {
    complaints += chunk
  })
  await once(shell, 'close')
  // npm warns there of settings of this machine, so it is shown only with a failure.
  if (!printed.includes(mark)) throw new Error(complaints)
  return printed.split(`\n${mark}\n`).slice(0, steps.length)
}

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

export const startClone = async (purpose: string): Promise<Clone> => {
  const folder = await scratchFolder(purpose)
  const { path } = folder
  const port = await freePort()
  const children: ChildProcess[] = []
  const stop = async () => {
    for (const child of children.toReversed()) await end(child)
    await folder.remove()
  }
  const inShell = (script: string): ChildProcess =>
    spawn('bash', ['-c', script], {
      cwd: path,
      env: machineEnvironment({
        PORT: String(port),
        // `npx` leaves a link to the folder in its cache.
        npm_config_cache: join(path, 'npm-cache'),
        npm_config_update_notifier: 'false',
      }),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  try {
    makeClone(path)
    const { service, started } = await startService(path, port)
    children.push(service)
    return {
      path,
      port,
      started,
      runInShell: (steps) => {
        const script = steps.map(({ command }) => `${command}\necho; echo '${mark}'`).join('\n')
        return runSteps(inShell(script), steps)
      },
      startInShell: (command) => {
        const child = inShell(`exec ${command}`)
        children.push(child)
        return child
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

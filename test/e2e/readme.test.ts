import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readFileSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { machineEnvironment } from '../support/machine-environment.ts'
import { type ScratchFolder, scratchFolder } from '../support/scratch-folder.ts'
import { consoleBlocks, type Step, shows, stepsOf } from './transcript.ts'

const readme = readFileSync('README.md', 'utf8')

let folder: ScratchFolder
let port: number
let service: ChildProcess
let started = ''

/** The blocks as they are on the page, but for the port: others may be using it. */
const blocks = (): string[] =>
  consoleBlocks(readme).map((block) => block.replaceAll('127.0.0.1:8088', `127.0.0.1:${port}`))

/** A clone as `git clone` and the installation would leave it, without either: what the service needs, and the same node_modules. */
const scratchClone = (path: string): void => {
  for (const name of ['src', 'migrations', 'tools', 'package.json']) {
    cpSync(resolve(name), join(path, name), { recursive: true })
  }
  symlinkSync(resolve('node_modules'), join(path, 'node_modules'))
}

/** What `npm start` runs once everything is installed. */
const startScript = (): string => JSON.parse(readFileSync('package.json', 'utf8')).scripts.start

const startService = async (cwd: string): Promise<ChildProcess> => {
  const { PATH: path = '', ...others } = machineEnvironment({ PORT: String(port) })
  const env = { ...others, PATH: `${resolve('node_modules', '.bin')}:${path}` }
  const child = spawn('sh', ['-c', `exec ${startScript()}`], { cwd, env })
  await new Promise<void>((ready, failed) => {
    const read = (chunk: Buffer) => {
      started += chunk.toString()
      // The last line of what a start prints.
      if (started.includes('/.well-known/jwks.json\n')) ready()
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    child.once('exit', () => failed(new Error(`the service did not start:\n${started}`)))
  })
  return child
}

/** Runs the commands one after the other in one shell, as somebody pastes them, and says what each printed. */
const runInShell = async (steps: readonly Step[], cwd: string): Promise<string[]> => {
  const mark = '@@ the next command @@'
  const script = steps.map(({ command }) => `${command}\necho; echo '${mark}'`).join('\n')
  const shell = spawn('bash', ['-c', script], {
    cwd,
    env: machineEnvironment({
      PORT: String(port),
      // `npx` leaves a link to the folder in its cache.
      npm_config_cache: join(cwd, 'npm-cache'),
      npm_config_update_notifier: 'false',
    }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  let complaints = ''
  shell.stdout.on('data', (chunk) => {
    printed += chunk
  })
  shell.stderr.on('data', (chunk) => {
    complaints += chunk
  })
  await once(shell, 'close')
  // npm warns there of settings of this machine, so it is shown only with a failure.
  if (!printed.includes(mark)) throw new Error(complaints)
  return printed.split(`\n${mark}\n`).slice(0, steps.length)
}

beforeAll(async () => {
  folder = await scratchFolder('readme')
  port = await freePort()
  scratchClone(folder.path)
  service = await startService(folder.path)
})

afterAll(async () => {
  if (service?.exitCode === null) {
    const ended = once(service, 'exit')
    service.kill('SIGTERM')
    await ended
  }
  await folder.remove()
})

describe('the README', () => {
  test('shows an answer of the service by its 28th line', () => {
    const answer = readme.split('\n').findIndex((line) => line.startsWith('{"access_token"'))
    expect(answer).toBeGreaterThan(0)
    expect(answer).toBeLessThan(28)
  })

  test('begins with one command, which clones, starts, and prints what it shows', () => {
    const [first = ''] = blocks()
    const [step, ...more] = first.split('\n$ ')
    expect(more).toEqual([])
    const [command, ...output] = (step ?? '').trimEnd().split('\n')
    expect(command).toMatch(/^\$ git clone <[^>]+> cardea && cd cardea && npm start$/)
    expect(shows(output, started), started).toBe(true)
  })

  test('prints in the second terminal, command by command, what it shows', async () => {
    const steps = blocks().slice(1).flatMap(stepsOf)
    expect(steps.length).toBeGreaterThanOrEqual(8)
    const printed = await runInShell(steps, folder.path)
    const compared = steps.map(({ command, output }, place) => ({
      command,
      printed: shows(output, printed[place] ?? '') ? output.join('\n') : printed[place],
    }))
    expect(compared).toEqual(
      steps.map(({ command, output }) => ({ command, printed: output.join('\n') })),
    )
  })

  test('goes the whole way: create, log in, verify, refresh, revoke, refused twice', () => {
    const commands = blocks()
      .slice(1)
      .flatMap(stepsOf)
      .map(({ command }) => command)
    const way = [
      /account create/,
      /\/login/,
      /jwtVerify/,
      /\/refresh/,
      /cardea revoke/,
      /\/refresh/,
      /\/account/,
    ]
    let place = -1
    for (const milestone of way) {
      const next = commands.findIndex((command, index) => index > place && milestone.test(command))
      expect(next, String(milestone)).toBeGreaterThan(place)
      place = next
    }
  })
})

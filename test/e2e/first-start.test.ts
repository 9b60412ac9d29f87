import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { machineEnvironment } from '../support/programs/machine-environment.ts'
import { type ScratchFolder, scratchFolder } from '../support/programs/scratch-folder.ts'
import { freePort } from '../support/servers/free-port.ts'
import { httpClient } from '../support/service/client.ts'
import { consoleBlocks, shows, stepsOf } from './transcript.ts'

const run = promisify(execFile)
const email = 'ada@example.com'
const password = 'correct horse battery staple 7'

let folder: ScratchFolder
let port: number
let running: ChildProcess | undefined

beforeAll(async () => {
  folder = await scratchFolder('first-start')
  port = await freePort()
})
afterAll(async () => {
  await interrupt()
  await folder.remove()
})

/** What npm has downloaded before is taken from its cache; the network is for the rest. */
const environment = () =>
  machineEnvironment({
    PORT: String(port),
    npm_config_prefer_offline: 'true',
    npm_config_audit: 'false',
    npm_config_update_notifier: 'false',
    npm_config_logs_max: '0',
  })

/** The files of this folder as the only commit of a repository: also what is not committed yet, and where there is no git history. */
const makeRepository = async (): Promise<string> => {
  const path = join(folder.path, 'repository')
  if (existsSync(path)) return path
  const author = { GIT_AUTHOR_NAME: 'a test', GIT_AUTHOR_EMAIL: 'test@example.com' }
  const committer = { GIT_COMMITTER_NAME: 'a test', GIT_COMMITTER_EMAIL: 'test@example.com' }
  await run('git', ['init', '--quiet', path])
  const env = machineEnvironment({
    ...author,
    ...committer,
    GIT_DIR: join(path, '.git'),
    GIT_WORK_TREE: resolve('.'),
  })
  await run('git', ['add', '--all'], { env })
  await run('git', ['commit', '--quiet', '--no-gpg-sign', '--message', 'all'], { env })
  return path
}

/** In a process group of its own, as a terminal starts it; resolves with what it printed once the service says that it listens. */
const start = async (command: string, cwd: string): Promise<string> => {
  const child = spawn('bash', ['-c', command], {
    cwd,
    env: environment(),
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running = child
  folder.watch(child.pid ?? '')
  let printed = ''
  await new Promise<void>((listens, failed) => {
    const read = (chunk: string) => {
      printed += chunk
      if (printed.includes('/.well-known/jwks.json\n')) listens()
    }
    child.stdout.setEncoding('utf8').on('data', read)
    child.stderr.setEncoding('utf8').on('data', read)
    child.once('exit', () => failed(new Error(`the service did not start:\n${printed}`)))
  })
  // On a slow machine git counts the files on one line, again and again.
  return printed.replaceAll('\r', '\n')
}

/** Ctrl-C: the terminal tells every process of the group. */
const interrupt = async (): Promise<void> => {
  if (running?.pid === undefined || running.exitCode !== null || running.signalCode !== null) return
  const closed = once(running, 'close')
  process.kill(-running.pid, 'SIGINT')
  await closed
  folder.watch('')
}

/** Processes that work in the folder: npm, the service, and every process of its Postgres. */
const processesIn = (path: string): string[] =>
  readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readlinkSync(`/proc/${name}/cwd`).startsWith(path)
    } catch {
      return false
    }
  })

test('a command before the first start says in one line what to do first, under whatever Node the machine has', async () => {
  const clone = join(folder.path, 'untouched')
  await run('git', ['clone', '--quiet', await makeRepository(), clone])
  const env = { ...environment(), npm_config_cache: join(folder.path, 'npm-cache') }
  const ran = await run('npx', ['cardea', 'account', 'list'], { cwd: clone, env }).catch(
    (error: { code: number; stdout: string; stderr: string }) => error,
  )
  expect(ran).toMatchObject({
    code: 1,
    stdout: '',
    stderr:
      'error: this clone is not set up yet\nhint: run `npm start` once: it installs what the commands need\n',
  })
  expect(readdirSync(clone)).not.toContain('node_modules')
})

test('the first command of the README clones, installs and starts; Ctrl-C, or a signal to npm alone, stops all of it, and the next start keeps the data', async () => {
  const [first = ''] = consoleBlocks(readFileSync('README.md', 'utf8'))
  const [step, ...more] = stepsOf(first)
  expect(more).toEqual([])
  expect(step?.command).toMatch(/^git clone <[^>]+> cardea && cd cardea && npm start$/)
  const command = step!.command.replace(/<[^>]+>/, await makeRepository())
  const clone = join(folder.path, 'cardea')

  const started = await start(command, folder.path)
  const output = step!.output.map((line) => line.replace('8088', String(port)))
  expect(shows(output, started), started).toBe(true)
  expect(started).toContain('installing dependencies…')
  const env = { ...environment(), npm_config_cache: join(folder.path, 'npm-cache') }
  const create = `echo '${password}' | npx cardea account create --email ${email}`
  expect((await run('bash', ['-c', create], { cwd: clone, env })).stdout).toContain(email)
  expect(processesIn(join(clone, '.data')).length).toBeGreaterThan(1)
  await interrupt()
  await vi.waitFor(() => expect(processesIn(clone)).toEqual([]))

  const again = await start('npm start', clone)
  expect(again).not.toContain('installing dependencies…')
  await httpClient(`http://127.0.0.1:${port}`).logIn({ email, password })
  running?.kill('SIGTERM')
  await vi.waitFor(() => expect(processesIn(clone)).toEqual([]))
  const { stdout: changed } = await run('git', ['status', '--porcelain'], { cwd: clone, env })
  expect(changed).toBe('')
})

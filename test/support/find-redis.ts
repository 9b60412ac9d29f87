import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export type RedisBinary = {
  readonly path: string
  /** The environment to start it with: the fetched copy has its libraries beside it. */
  readonly env: Record<string, string>
}

/** What `redis-server` of Debian and Ubuntu needs beyond a minimal system. */
const packages = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1', 'libatomic1']

/** Shared by all clones of this user, so that only the first run fetches. */
const cacheFolder = (): string => {
  const { XDG_CACHE_HOME: base } = process.env
  return join(base || join(homedir(), '.cache'), 'cardea', 'redis')
}

const works = async (binary: RedisBinary): Promise<boolean> =>
  await run(binary.path, ['--version'], { env: binary.env }).then(
    () => true,
    () => false,
  )

const environment = (more: Record<string, string> = {}) => {
  const { PATH = '/usr/local/bin:/usr/bin:/bin' } = process.env
  return { PATH, ...more }
}

const onPath = async (): Promise<RedisBinary | undefined> => {
  for (const path of ['redis-server', 'valkey-server']) {
    const binary = { path, env: environment() }
    if (await works(binary)) return binary
  }
  return undefined
}

/** The copy in `folder`; its libraries lie in the one folder below `usr/lib` that is named after the machine's architecture. */
const unpackedIn = async (folder: string): Promise<RedisBinary | undefined> => {
  const library = join(folder, 'usr', 'lib')
  const names = await readdir(library).catch(() => [])
  const libraryPath = names.map((name) => join(library, name)).join(':')
  const path = join(folder, 'usr', 'bin', 'redis-server')
  const binary = { path, env: environment({ LD_LIBRARY_PATH: libraryPath }) }
  return (await works(binary)) ? binary : undefined
}

/**
 * Debian's own package, fetched and unpacked without root and without touching the system: lists, cache and state of `apt` are private
 * to the folder. Unpacked beside the cache and renamed when it is known to work, so that two runs at once do not spoil it.
 */
const fetchInto = async (cache: string): Promise<void> => {
  await mkdir(join(cache, '..'), { recursive: true })
  const work = await mkdtemp(`${cache}.new-`)
  try {
    await mkdir(join(work, 'state', 'lists', 'partial'), { recursive: true })
    await mkdir(join(work, 'cache', 'archives', 'partial'), { recursive: true })
    const options = [
      `Dir::State=${join(work, 'state')}`,
      `Dir::Cache=${join(work, 'cache')}`,
      'Debug::NoLocking=true',
      // Root's apt would fetch as the user `_apt`, who cannot write here.
      'APT::Sandbox::User=',
      'APT::Get::List-Cleanup=false',
    ].flatMap((option) => ['-o', option])
    const aptGet = async (...args: string[]) =>
      await run('apt-get', ['-q', ...options, ...args], { cwd: work, env: environment() })
    await aptGet('update')
    await aptGet('download', ...packages)
    const tree = join(work, 'tree')
    for (const file of (await readdir(work)).filter((name) => name.endsWith('.deb'))) {
      await run('dpkg', ['-x', join(work, file), tree])
    }
    if ((await unpackedIn(tree)) === undefined) throw new Error('the unpacked copy does not start')
    await rm(cache, { recursive: true, force: true })
    await rename(tree, cache)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Last resort, root only. `RUNLEVEL=1` keeps Debian from starting the server as a system service. */
const installWithApt = async (): Promise<void> => {
  const env = environment({ DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' })
  await run('apt-get', ['-q', 'update'], { env })
  await run('apt-get', ['-q', '-y', '--no-install-recommends', 'install', 'redis-server'], { env })
}

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message.trim() : String(error)

const fetched = async (): Promise<RedisBinary> => {
  const cache = cacheFolder()
  const failures: string[] = []
  for (const attempt of [
    async () => await fetchInto(cache),
    ...(process.geteuid?.() === 0 ? [installWithApt] : []),
  ]) {
    await attempt().catch((error: unknown) => failures.push(reasonOf(error)))
    const found = (await unpackedIn(cache)) ?? (await onPath())
    if (found !== undefined) return found
  }
  throw new Error(
    `the tests need a real Redis and found none: install redis-server or valkey-server, so that it is on the PATH.\n${failures.join('\n')}`,
  )
}

let search: Promise<RedisBinary> | undefined

/**
 * A real Redis or Valkey server: on the PATH, else the copy in the user's cache, else fetched into it, else installed by root. There is no
 * npm package of one, and imitations are not faithful. Throws, saying what to do: a test is never skipped for the want of it.
 */
export const findRedisBinary = async (): Promise<RedisBinary> => {
  search ??= (async () =>
    (await onPath()) ?? (await unpackedIn(cacheFolder())) ?? (await fetched()))()
  return await search
}

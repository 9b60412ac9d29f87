import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A program and the environment to start it with: an unpacked copy has its libraries beside it, and not where the system looks. */
export type Program = { readonly path: string; readonly env: Record<string, string> }

export type PackagesWanted = {
  readonly packages: readonly string[]
  /** Also all that these need, as on a machine with nothing: for programs that a minimal system cannot carry. */
  readonly withDependencies?: boolean
  /** Dependencies that only the installation needs, and that would be most of what is fetched. */
  readonly leaveOut?: RegExp
  /** Where else to look when the machine's own sources lack a package: a line as in `/etc/apt/sources.list`. */
  readonly otherSource?: string
}

/** Shared by all clones of this user, so that only the first run fetches. */
export const cacheFolder = (name: string): string => {
  const { XDG_CACHE_HOME: base } = process.env
  return join(base || join(homedir(), '.cache'), 'cardea', name)
}

/** Nothing of the environment of the tests but the path. */
export const bareEnvironment = (more: Record<string, string> = {}): Record<string, string> => {
  const { PATH = '/usr/local/bin:/usr/bin:/bin' } = process.env
  return { PATH, LANG: 'C.UTF-8', ...more }
}

/** Whether the program starts with these arguments and ends with 0. */
export const starts = async (program: Program, args: readonly string[]): Promise<boolean> =>
  await run(program.path, [...args], { env: program.env, cwd: '/' }).then(
    () => true,
    () => false,
  )

/** The folders of libraries of an unpacked copy, as `LD_LIBRARY_PATH` wants them: one is named after the machine's architecture. */
export const libraryPath = async (tree: string): Promise<string> => {
  const folders = [join(tree, 'usr', 'lib'), join(tree, 'lib')]
  const found = await Promise.all(
    folders.map(async (folder) => {
      const names = await readdir(folder).catch(() => [])
      return names.filter((name) => name.includes('-linux-')).map((name) => join(folder, name))
    }),
  )
  return found.flat().join(':')
}

/**
 * The C library must be the one whose loader starts the program, so the machine's own. The others belong to the installation of
 * packages and are not needed to run anything.
 */
const neverUnpacked = new Set(['libc6', 'libgcc-s1', 'dpkg', 'tar', 'debconf'])

type AptGet = (...args: string[]) => Promise<string>

/** The machine's list of sources with one more; those in `/etc/apt/sources.list.d` count in any case. */
const sourcesWith = async (folder: string, source: string): Promise<string> => {
  const own = await readFile('/etc/apt/sources.list', 'utf8').catch(() => '')
  const file = join(folder, 'sources.list')
  await writeFile(file, `${own}\n${source}\n`)
  return `Dir::Etc::SourceList=${file}`
}

/** Lists, cache and state of `apt` are private to the folder. */
const privateAptGet = async (folder: string, otherSource?: string): Promise<AptGet> => {
  await mkdir(join(folder, 'state', 'lists', 'partial'), { recursive: true })
  await mkdir(join(folder, 'cache', 'archives', 'partial'), { recursive: true })
  // Knows of no installed package, so that dependencies are complete whatever this machine has.
  await writeFile(join(folder, 'status'), '')
  const options = [
    `Dir::State=${join(folder, 'state')}`,
    `Dir::State::status=${join(folder, 'status')}`,
    `Dir::Cache=${join(folder, 'cache')}`,
    'Debug::NoLocking=true',
    // Root's apt would fetch as the user `_apt`, who cannot write here.
    'APT::Sandbox::User=',
    'APT::Get::List-Cleanup=false',
    ...(otherSource === undefined ? [] : [await sourcesWith(folder, otherSource)]),
  ].flatMap((option) => ['-o', option])
  return async (...args) => {
    const { stdout } = await run('apt-get', ['-q', ...options, ...args], {
      cwd: folder,
      env: bareEnvironment(),
      maxBuffer: 16 * 1024 * 1024,
    })
    return stdout
  }
}

/** The names of the packages and of all that they need. A line of the answer is `'<address>' <name>_<version>_<architecture>.deb …`. */
const withTheirDependencies = async (
  aptGet: AptGet,
  { packages, leaveOut }: PackagesWanted,
): Promise<string[]> => {
  const plan = await aptGet('--no-install-recommends', '-y', '--print-uris', 'install', ...packages)
  return [...plan.matchAll(/^'[^']*' ([^_\s]+)_\S+\.deb /gm)]
    .map(([, name = '']) => name)
    .filter((name) => !(neverUnpacked.has(name) || leaveOut?.test(name)))
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Whether the file is ours now; false when somebody else has it. */
const take = async (lock: string): Promise<boolean> => {
  try {
    await writeFile(lock, `${process.pid}`, { flag: 'wx' })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** Whoever makes the file works; the others wait until it is gone. One that a dead process left behind counts for nothing. */
const alone = async (lock: string, work: () => Promise<void>): Promise<void> => {
  while (!(await take(lock))) {
    const owner = Number(await readFile(lock, 'utf8').catch(() => ''))
    // Empty for the moment between its making and its writing.
    if (owner > 0 && !isAlive(owner)) await rm(lock, { force: true })
    await pause(100)
  }
  try {
    await work()
  } finally {
    await rm(lock, { force: true })
  }
}

const download = async (
  folder: string,
  wanted: PackagesWanted,
  otherSource?: string,
): Promise<void> => {
  const aptGet = await privateAptGet(folder, otherSource)
  await aptGet('update')
  const names = wanted.withDependencies
    ? await withTheirDependencies(aptGet, wanted)
    : wanted.packages
  await aptGet('download', ...names)
}

/** Unpacked beside the cache and renamed when it is known to work, so that nobody sees half of it. */
const fetchInto = async (
  cache: string,
  wanted: PackagesWanted,
  works: (tree: string) => Promise<boolean>,
): Promise<void> => {
  const work = await mkdtemp(`${cache}.new-`)
  try {
    await download(work, wanted).catch(async (error: unknown) => {
      if (wanted.otherSource === undefined) throw error
      await download(work, wanted, wanted.otherSource)
    })
    const tree = join(work, 'tree')
    for (const file of (await readdir(work)).filter((name) => name.endsWith('.deb'))) {
      await run('dpkg', ['-x', join(work, file), tree])
    }
    if (!(await works(tree))) throw new Error('the unpacked copy does not start')
    await rm(cache, { recursive: true, force: true })
    await rename(tree, cache)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/**
 * Debian's own packages, fetched and unpacked into `cache` without root and without touching the system. Of several processes that want
 * the same at once, one fetches.
 *
 * @throws {Error} with what `apt-get` said, or because the copy does not start
 */
export const fetchDebianPackages = async (
  cache: string,
  wanted: PackagesWanted,
  works: (tree: string) => Promise<boolean>,
): Promise<void> => {
  await mkdir(join(cache, '..'), { recursive: true })
  await alone(`${cache}.lock`, async () => {
    if (!(await works(cache))) await fetchInto(cache, wanted, works)
  })
}

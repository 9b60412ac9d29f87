import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  bareEnvironment,
  cacheFolder,
  fetchDebianPackages,
  libraryPath,
  type Program,
  reasonOf,
  starts,
} from './debian-packages.ts'

const run = promisify(execFile)

/** The environment is that to start it with: the fetched copy has its libraries beside it. */
export type RedisBinary = Program

/** What `redis-server` of Debian and Ubuntu needs beyond a minimal system. */
const packages = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1', 'libatomic1']

const works = async (binary: RedisBinary): Promise<boolean> => await starts(binary, ['--version'])

const onPath = async (): Promise<RedisBinary | undefined> => {
  for (const path of ['redis-server', 'valkey-server']) {
    const binary = { path, env: bareEnvironment() }
    if (await works(binary)) return binary
  }
  return undefined
}

const unpackedIn = async (tree: string): Promise<RedisBinary | undefined> => {
  const path = join(tree, 'usr', 'bin', 'redis-server')
  const binary = { path, env: bareEnvironment({ LD_LIBRARY_PATH: await libraryPath(tree) }) }
  return (await works(binary)) ? binary : undefined
}

const fetchInto = async (cache: string): Promise<void> =>
  await fetchDebianPackages(
    cache,
    { packages },
    async (tree) => (await unpackedIn(tree)) !== undefined,
  )

/** Last resort, root only. `RUNLEVEL=1` keeps Debian from starting the server as a system service. */
const installWithApt = async (): Promise<void> => {
  const env = bareEnvironment({ DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' })
  await run('apt-get', ['-q', 'update'], { env })
  await run('apt-get', ['-q', '-y', '--no-install-recommends', 'install', 'redis-server'], { env })
}

const fetched = async (): Promise<RedisBinary> => {
  const cache = cacheFolder('redis')
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
    (await onPath()) ?? (await unpackedIn(cacheFolder('redis'))) ?? (await fetched()))()
  return await search
}

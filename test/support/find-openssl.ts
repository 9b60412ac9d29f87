import { join } from 'node:path'
import {
  bareEnvironment,
  cacheFolder,
  fetchDebianPackages,
  libraryPath,
  type Program,
  reasonOf,
  starts,
} from './debian-packages.ts'

const works = (program: Program): Promise<boolean> => starts(program, ['version'])

const unpackedIn = async (tree: string): Promise<Program | undefined> => {
  const env = bareEnvironment({ LD_LIBRARY_PATH: await libraryPath(tree) })
  const program = { path: join(tree, 'usr', 'bin', 'openssl'), env }
  return (await works(program)) ? program : undefined
}

/**
 * The `openssl` of the machine, else the copy in the user's cache, else Debian's package is fetched into it. Node reads certificates and
 * makes none. Throws, saying what to do: a test is never skipped for the want of it.
 */
export const findOpenssl = async (): Promise<Program> => {
  const onMachine = { path: 'openssl', env: bareEnvironment() }
  if (await works(onMachine)) return onMachine
  const cache = cacheFolder('openssl')
  const failure = await fetchDebianPackages(
    cache,
    { packages: ['openssl'], withDependencies: true },
    async (tree) => (await unpackedIn(tree)) !== undefined,
  ).then(() => '', reasonOf)
  const program = await unpackedIn(cache)
  if (program !== undefined) return program
  throw new Error(
    `the tests need openssl and found none: install openssl, or let apt-get reach Debian's packages.\n${failure}`,
  )
}

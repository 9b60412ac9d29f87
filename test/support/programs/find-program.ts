import { join } from 'node:path'
import {
  bareEnvironment,
  cacheFolder,
  fetchDebianPackages,
  libraryPath,
  type PackagesWanted,
  type Program,
  starts,
} from './debian-packages.ts'

export type WantedProgram = PackagesWanted & {
  /** Of the folder in the user's cache. */
  readonly name: string
  /** For the message when there is none: "the tests need … and found none". */
  readonly need: string
  /** Names on the path, or paths; the first that works is taken. */
  readonly commands: readonly string[]
  /** Where Debian's packages have it, below their root; the first that works is taken. */
  readonly unpacked: readonly string[]
  /** Arguments with which it ends with 0 when it is there and can do what is asked of it. */
  readonly probe: readonly string[]
  /** What it must be told when it does not lie where it was built for. */
  readonly home?: (tree: string) => Promise<Record<string, string>>
  /** Puts it on the machine when nothing else has helped. */
  readonly install?: () => Promise<void>
}

const firstThatStarts = async (
  paths: readonly string[],
  env: Program['env'],
  probe: readonly string[],
): Promise<Program | undefined> => {
  for (const path of paths) {
    const program = { path, env }
    if (await starts(program, probe)) return program
  }
  return undefined
}

const onMachine = ({ commands, probe }: WantedProgram): Promise<Program | undefined> =>
  firstThatStarts(commands, bareEnvironment(), probe)

const unpackedIn = async (
  tree: string,
  { unpacked, probe, home }: WantedProgram,
): Promise<Program | undefined> => {
  const env = bareEnvironment({
    ...(await home?.(tree)),
    LD_LIBRARY_PATH: await libraryPath(tree),
  })
  const paths = unpacked.map((path) => join(tree, path))
  return await firstThatStarts(paths, env, probe)
}

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message.trim() : String(error)

const fetched = async (cache: string, wanted: WantedProgram): Promise<Program> => {
  const failures: string[] = []
  const works = async (tree: string) => (await unpackedIn(tree, wanted)) !== undefined
  const fetchPackages = () => fetchDebianPackages(cache, wanted, works)
  for (const attempt of [fetchPackages, ...(wanted.install ? [wanted.install] : [])]) {
    await attempt().catch((error: unknown) => failures.push(reasonOf(error)))
    const found = (await unpackedIn(cache, wanted)) ?? (await onMachine(wanted))
    if (found !== undefined) return found
  }
  const advice = `install ${wanted.packages.join(' ')}, or let apt-get reach Debian's packages`
  throw new Error(
    `the tests need ${wanted.need} and found none: ${advice}.\n${failures.join('\n')}`,
  )
}

const search = async (wanted: WantedProgram): Promise<Program> => {
  const cache = cacheFolder(wanted.name)
  return (
    (await onMachine(wanted)) ?? (await unpackedIn(cache, wanted)) ?? (await fetched(cache, wanted))
  )
}

const searches = new Map<string, Promise<Program>>()

/**
 * A real program, for what npm has no package of: that of the machine, else the copy in the user's cache, else Debian's packages are
 * fetched into it. Throws, saying what to do: a test is never skipped for the want of one.
 */
export const findProgram = (wanted: WantedProgram): Promise<Program> => {
  const begun = searches.get(wanted.name) ?? search(wanted)
  searches.set(wanted.name, begun)
  return begun
}

import { readdir } from 'node:fs/promises'
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

type Language = {
  readonly name: string
  readonly commands: readonly string[]
  /** The library for tokens, what it needs for cryptography, and for Python a client of Redis. */
  readonly packages: readonly string[]
  /** Ends with 0 when all of it is there. */
  readonly probe: readonly string[]
  /** What the interpreter must be told when it does not lie where it was built for. */
  readonly home: (tree: string) => Promise<Record<string, string>>
}

/** The folders of the tree that are called like this, at any of these places; the version in a name is not ours to know. */
const foldersIn = async (
  tree: string,
  places: readonly string[],
  wanted: RegExp,
): Promise<string[]> => {
  const found = await Promise.all(
    places.map(async (place) => {
      const names = await readdir(join(tree, place)).catch(() => [])
      return names.filter((name) => wanted.test(name)).map((name) => join(tree, place, name))
    }),
  )
  return found.flat()
}

const archFolders = async (tree: string, ...below: string[]): Promise<string[]> =>
  (await foldersIn(tree, ['usr/lib'], /-linux-/)).map((folder) =>
    join(folder.slice(tree.length + 1), ...below),
  )

const pythonHome = async (tree: string) => ({ PYTHONHOME: join(tree, 'usr') })

const version = /^[0-9.]+$/

const perlHome = async (tree: string) => {
  const architecture = [await archFolders(tree, 'perl5'), await archFolders(tree, 'perl')].flat()
  const folders = await foldersIn(tree, [...architecture, 'usr/share/perl'], version)
  return { PERL5LIB: [join(tree, 'usr', 'share', 'perl5'), ...folders].join(':') }
}

const rubyHome = async (tree: string) => {
  const folders = await foldersIn(
    tree,
    ['usr/lib/ruby', ...(await archFolders(tree, 'ruby'))],
    version,
  )
  return {
    RUBYLIB: [join(tree, 'usr', 'lib', 'ruby', 'vendor_ruby'), ...folders].join(':'),
    GEM_PATH: join(tree, 'usr', 'share', 'rubygems-integration', 'all'),
  }
}

const languages = {
  python: {
    name: 'Python',
    commands: ['python3', '/usr/bin/python3'],
    packages: ['python3', 'python3-jwt', 'python3-cryptography', 'python3-redis'],
    probe: ['-c', 'import cryptography, jwt, redis, ssl; jwt.PyJWKClient'],
    home: pythonHome,
  },
  perl: {
    name: 'Perl',
    commands: ['perl', '/usr/bin/perl'],
    packages: ['perl', 'libcrypt-jwt-perl'],
    probe: ['-MCrypt::JWT', '-MHTTP::Tiny', '-e', '1'],
    home: perlHome,
  },
  ruby: {
    name: 'Ruby',
    commands: ['ruby', '/usr/bin/ruby'],
    packages: ['ruby', 'ruby-jwt'],
    probe: ['-e', 'require "jwt"; require "net/http"; require "openssl"'],
    home: rubyHome,
  },
} satisfies Record<string, Language>

/** For hooks that call `findInterpreter`: the first run on a machine fetches up to 20 MB for a language. */
export const fetchTimeoutMs = 300_000

export type LanguageName = keyof typeof languages

const onMachine = async ({ commands, probe }: Language): Promise<Program | undefined> => {
  for (const path of commands) {
    const program = { path, env: bareEnvironment() }
    if (await starts(program, probe)) return program
  }
  return undefined
}

const unpackedIn = async (
  tree: string,
  { commands: [command = ''], home, probe }: Language,
): Promise<Program | undefined> => {
  const env = bareEnvironment({ ...(await home(tree)), LD_LIBRARY_PATH: await libraryPath(tree) })
  const program = { path: join(tree, 'usr', 'bin', command), env }
  return (await starts(program, probe)) ? program : undefined
}

const fetched = async (cache: string, language: Language): Promise<Program> => {
  const { name, packages } = language
  const failure = await fetchDebianPackages(
    cache,
    { packages, withDependencies: true },
    async (tree) => (await unpackedIn(tree, language)) !== undefined,
  ).then(() => '', reasonOf)
  const program = await unpackedIn(cache, language)
  if (program !== undefined) return program
  throw new Error(
    `the tests need ${name} with a library for tokens and found none: install ${packages.join(' ')}, or let apt-get reach Debian's packages.\n${failure}`,
  )
}

const searches = new Map<LanguageName, Promise<Program>>()

const search = async (languageName: LanguageName): Promise<Program> => {
  const language = languages[languageName]
  const cache = cacheFolder(languageName)
  return (
    (await onMachine(language)) ??
    (await unpackedIn(cache, language)) ??
    (await fetched(cache, language))
  )
}

/**
 * An interpreter whose libraries can verify tokens: that of the machine, else the copy in the user's cache, else Debian's packages and all
 * that they need are fetched into it. Throws, saying what to do: a test is never skipped for the want of it.
 */
export const findInterpreter = async (language: LanguageName): Promise<Program> => {
  const begun = searches.get(language) ?? search(language)
  searches.set(language, begun)
  return await begun
}

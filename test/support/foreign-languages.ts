import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Program } from './debian-packages.ts'
import { findProgram } from './find-program.ts'

type Language = {
  readonly command: string
  readonly need: string
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
    command: 'python3',
    need: 'Python with a library for tokens',
    packages: ['python3', 'python3-jwt', 'python3-cryptography', 'python3-redis'],
    probe: ['-c', 'import cryptography, jwt, redis, ssl; jwt.PyJWKClient'],
    home: pythonHome,
  },
  perl: {
    command: 'perl',
    need: 'Perl with a library for tokens',
    packages: ['perl', 'libcrypt-jwt-perl'],
    probe: ['-MCrypt::JWT', '-MHTTP::Tiny', '-e', '1'],
    home: perlHome,
  },
  ruby: {
    command: 'ruby',
    need: 'Ruby with a library for tokens',
    packages: ['ruby', 'ruby-jwt'],
    probe: ['-e', 'require "jwt"; require "net/http"; require "openssl"'],
    home: rubyHome,
  },
} satisfies Record<string, Language>

export type LanguageName = keyof typeof languages

/** An interpreter whose libraries can verify tokens. */
export const findInterpreter = (name: LanguageName): Promise<Program> => {
  const { command, ...language } = languages[name]
  return findProgram({
    name,
    commands: [command, `/usr/bin/${command}`],
    unpacked: [`usr/bin/${command}`],
    withDependencies: true,
    ...language,
  })
}

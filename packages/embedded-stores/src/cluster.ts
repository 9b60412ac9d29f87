import { randomBytes } from 'node:crypto'
import { chown, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type Launcher, nobodyId, type PostgresBinaries } from './launcher.ts'
import { readPrivateFile } from './private-files.ts'
import { runProgram } from './run-program.ts'

/** The role that owns the database and runs the migrations. */
const ownerRole = 'cardea_owner'
/** The role of the running service. It may log in, owns nothing and creates nothing. */
const appRole = 'cardea_app'
const databaseName = 'cardea'

export type Passwords = { readonly owner: string; readonly app: string }

/** The data directory of the Postgres processes. The folder above it contains our own files too. */
export const clusterFolder = (directory: string): string => join(directory, 'cluster')

const passwordFile = (directory: string): string => join(directory, 'passwords.json')

/** The URLs contain the passwords. Use them for the pool only, never in a log or on a command line. */
export const urlsFor = (passwords: Passwords, port: number) => ({
  ownerUrl: `postgres://${ownerRole}:${passwords.owner}@127.0.0.1:${port}/${databaseName}`,
  appUrl: `postgres://${appRole}:${passwords.app}@127.0.0.1:${port}/${databaseName}`,
})

const isPasswords = (value: unknown): value is Passwords =>
  typeof value === 'object' &&
  value !== null &&
  'owner' in value &&
  typeof value.owner === 'string' &&
  'app' in value &&
  typeof value.app === 'string'

/**
 * Throws when the file is missing or damaged: the cluster cannot be opened without it, and a new one would hide the data. The folder
 * belongs to the cluster, whose owner is `nobody` if root runs without user namespaces.
 * @throws UnsafeFile when another user may have written it, or can read it
 */
export const readPasswords = async (directory: string): Promise<Passwords> => {
  const trusted = process.geteuid?.() === 0 ? [nobodyId] : []
  const value: unknown = JSON.parse(await readPrivateFile(passwordFile(directory), trusted))
  if (!isPasswords(value)) throw new Error(`${passwordFile(directory)} does not hold two passwords`)
  return value
}

const setUpSql = (appPassword: string): string =>
  [
    `CREATE ROLE ${appRole} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD '${appPassword}';`,
    `CREATE DATABASE ${databaseName};`,
    `REVOKE ALL ON DATABASE ${databaseName} FROM PUBLIC;`,
    `GRANT CONNECT ON DATABASE ${databaseName} TO ${appRole};`,
    '',
  ].join('\n')

type NewCluster = {
  readonly directory: string
  readonly binaries: PostgresBinaries
  readonly launcher: Launcher
}

/** Fills `directory`, which does not have its final name yet. Takes about a second, mostly for the writes of `initdb`. */
const makeCluster = async ({ directory, binaries, launcher }: NewCluster) => {
  const newPassword = () => randomBytes(24).toString('base64url')
  const passwords: Passwords = { owner: newPassword(), app: newPassword() }
  const ownerPasswordFile = join(directory, 'owner-password')
  const cluster = clusterFolder(directory)
  await writeFile(passwordFile(directory), JSON.stringify(passwords), { mode: 0o600 })
  await writeFile(ownerPasswordFile, passwords.owner, { mode: 0o600 })
  await chown(ownerPasswordFile, launcher.owner.uid, launcher.owner.gid)
  const initdbArgs = [
    `--pgdata=${cluster}`,
    `--username=${ownerRole}`,
    `--pwfile=${ownerPasswordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--no-instructions',
  ]
  await runProgram(launcher.wrap(binaries.initdb, initdbArgs))
  await rm(ownerPasswordFile)
  // Single-user mode opens no port, and a failing statement, which may contain a password, is not repeated in the error text.
  const settings = ['-c', 'exit_on_error=on', '-c', 'log_min_error_statement=panic']
  const single = ['--single', '-D', cluster, ...settings, 'postgres']
  await runProgram({ ...launcher.wrap(binaries.postgres, single), input: setUpSql(passwords.app) })
}

/** Removes what a kill during `createCluster` left behind. An `initdb` that still runs there fails and cleans up. */
const removeHalfMade = async (directory: string): Promise<void> => {
  const parent = dirname(directory)
  const halfMade = (await readdir(parent)).filter((name) =>
    name.startsWith(`${basename(directory)}.new-`),
  )
  for (const name of halfMade) {
    await rm(join(parent, name), { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}

/**
 * Makes the cluster in a folder beside `directory` and renames it when complete, so that a kill never leaves one that a later start takes
 * for complete.
 */
export const createCluster = async (options: NewCluster): Promise<void> => {
  const { directory, launcher } = options
  await removeHalfMade(directory)
  const halfMade = `${directory}.new-${randomBytes(6).toString('hex')}`
  await mkdir(halfMade, { mode: 0o700 })
  await chown(halfMade, launcher.owner.uid, launcher.owner.gid)
  try {
    await makeCluster({ ...options, directory: halfMade })
    await rename(halfMade, directory)
  } catch (error) {
    await rm(halfMade, { recursive: true, force: true })
    throw error
  }
}

/** A missing file is information. A file that this user may not read is an error that the user must see. */
export const unlessForbidden =
  <T>(missing: T) =>
  (error: unknown): T => {
    const isForbidden = error instanceof Error && 'code' in error && error.code === 'EACCES'
    if (isForbidden) throw error
    return missing
  }

/** Whether there is a cluster to start. Throws when it belongs to another user: Postgres would refuse it with an unclear error. */
export const hasCluster = async (directory: string, launcher: Launcher): Promise<boolean> => {
  const found = await stat(clusterFolder(directory)).catch(unlessForbidden(undefined))
  if (found === undefined) return false
  if (found.uid !== launcher.owner.uid) {
    throw new Error(
      `${directory} belongs to user ${found.uid}, but Postgres would run as user ${launcher.owner.uid}: start as its owner, or run \`chown -R ${launcher.owner.uid} ${directory}\``,
    )
  }
  return true
}

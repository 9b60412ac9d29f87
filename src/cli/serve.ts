import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { Command } from 'commander'
import { foreignEnvironment } from '../config/index.ts'
import { completeSchema, prepareSchema } from '../schema.ts'
import { serve } from '../serve.ts'
import { CommandError, jsonOption, type OutputOptions, printResult, usageError } from './output.ts'
import { commandConfig, openStoresBeside, printProgress } from './with-core.ts'

const runService = async (): Promise<void> => {
  process.exitCode = await serve()
}

export const serveCommand = (): Command =>
  new Command('serve').description('run the service until Ctrl-C or SIGTERM').action(runService)

const runMigrations = async (options: OutputOptions): Promise<void> => {
  const config = await commandConfig()
  const stores = await openStoresBeside(config)
  try {
    const migrations = await prepareSchema(config, stores, printProgress)
    const indexes = await completeSchema(config, stores, printProgress)
    const done = [
      ...migrations.map((name) => `ran ${name}`),
      ...indexes.map((name) => `built the index ${name}`),
    ]
    printResult(options, { migrations, indexes }, done.length === 0 ? ['nothing to do'] : done)
  } finally {
    await stores.close()
  }
}

export const migrateCommand = (): Command =>
  new Command('migrate')
    .description('migrate the database to this version, with the role of MIGRATE_DATABASE_URL')
    .option(...jsonOption)
    .action(runMigrations)

type Options = { readonly owner?: true }

/** The exit code that shells report for a program that does not exist. */
const notFoundExitCode = 127

/** Variables for the terminal, the language and the home folder. A `PGOPTIONS` or `PGHOSTADDR` of the user is for another server. */
const surroundings = () =>
  Object.fromEntries(
    Object.entries(foreignEnvironment()).filter(([name]) => !name.startsWith('PG')),
  )

/**
 * libpq reads these variables (https://www.postgresql.org/docs/current/libpq-envars.html). On the command line every user of the machine
 * would see the password.
 */
const connectionVariables = (url: string): Readonly<Record<string, string>> => {
  const { hostname, port, username, password, pathname } = new URL(url)
  return {
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: decodeURIComponent(pathname.slice(1)),
    PGAPPNAME: 'cardea psql',
  }
}

const noPsql = (): CommandError =>
  new CommandError(
    'psql_not_found',
    'there is no psql on this machine: the embedded PostgreSQL comes without it',
    'install the package postgresql-client, or its equivalent on your system',
    notFoundExitCode,
  )

/** psql handles Ctrl-C: it ends a query and not the session. The stores are closed after psql has ended. */
const runPsql = async (url: string, args: readonly string[]): Promise<number> => {
  const ignore = () => undefined
  process.on('SIGINT', ignore)
  try {
    const child = spawn('psql', args, {
      env: { ...surroundings(), ...connectionVariables(url) },
      stdio: 'inherit',
    })
    const [code, signal] = await once(child, 'close')
    return typeof code === 'number'
      ? code
      : 128 + (constants.signals[signal as NodeJS.Signals] ?? 0)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') throw noPsql()
    throw error
  } finally {
    process.off('SIGINT', ignore)
  }
}

const openPsql = async (args: readonly string[], { owner }: Options): Promise<void> => {
  const config = await commandConfig()
  if (config.databaseUrl !== undefined) {
    throw usageError('this is for the embedded Postgres', 'run `psql "$DATABASE_URL"`')
  }
  const stores = await openStoresBeside(config)
  try {
    await prepareSchema(config, stores, printProgress)
    process.exitCode = await runPsql(owner ? stores.migrateUrl : stores.databaseUrl, args)
  } finally {
    await stores.close()
  }
}

export const psqlCommand = (): Command =>
  new Command('psql')
    .description('open psql on the embedded Postgres, with the role of the service')
    .argument('[args...]', 'arguments of psql, after --')
    .option('--owner', 'with the role that owns the tables')
    .action(openPsql)

import { ConfigError } from './config/index.ts'
import { DataDirInUse } from './infra/data-dir-lock.ts'
import { MigrationMismatch } from './infra/postgres/migrate.ts'
import { WrongKeyEncryptionKey } from './keys/index.ts'
import { AppError } from './lib/app-error.ts'

/** What went wrong, for somebody at a terminal: what, what to do about it, and the exit code of the process. */
export type Failure = {
  readonly messages: readonly string[]
  readonly hint: string
  readonly exitCode: number
}

/** The exit codes of every command; `docs/reference/cli.md` lists them. */
export const exitCodes = { failed: 1, usage: 2, settings: 3, inUse: 4, storeAway: 5 } as const

const one = (message: string, hint: string, exitCode: number): Failure => ({
  messages: [message],
  hint,
  exitCode,
})

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const causeOf = (error: AppError): string =>
  error.cause === undefined ? error.message : `${error.title} (${textOf(error.cause)})`

const appFailure = (error: AppError): Failure =>
  error.code === 'store_unavailable'
    ? one(
        `Postgres does not answer: ${textOf(error.cause)}`,
        'check DATABASE_URL, and that Postgres runs and lets this role in',
        exitCodes.storeAway,
      )
    : one(
        error.status >= 500 ? causeOf(error) : error.message,
        `the code is ${error.code}`,
        exitCodes.failed,
      )

const known: readonly (readonly [new (...args: never[]) => Error, string, number])[] = [
  [
    DataDirInUse,
    'two services cannot share one folder; commands work beside a running one',
    exitCodes.inUse,
  ],
  [
    MigrationMismatch,
    'run the version that made this database, or restore the migration file',
    exitCodes.failed,
  ],
  [
    WrongKeyEncryptionKey,
    'start with the CARDEA_SECRET that was in use before (several may be listed)',
    exitCodes.settings,
  ],
]

const byCode: Readonly<Record<string, readonly [message: string, hint: string]>> = {
  EADDRINUSE: [
    'the address is taken by another program',
    'set PORT to a free port, or end that program',
  ],
  EACCES: ['this user may not listen there', 'set PORT to 1024 or more'],
}

/** Anything that stops the process or a command, in words; never the value of a setting. */
export const explainFailure = (error: unknown): Failure => {
  if (error instanceof ConfigError) {
    const messages = error.problems.map(({ name, message }) => `${name} ${message}`)
    return {
      messages,
      hint: 'docs/reference/configuration.md explains every setting',
      exitCode: exitCodes.settings,
    }
  }
  if (error instanceof AppError) return appFailure(error)
  for (const [type, hint, exitCode] of known) {
    if (error instanceof type) return one(error.message, hint, exitCode)
  }
  const listening = byCode[String(codeOf(error))]
  if (listening) return one(`${listening[0]}: ${textOf(error)}`, listening[1], exitCodes.failed)
  return one(textOf(error), 'LOG_LEVEL=debug tells more', exitCodes.failed)
}

/** `error:` lines, then `hint:`. */
export const failureText = ({ messages, hint }: Failure): string =>
  [...messages.map((message) => `error: ${message}`), `hint: ${hint}`, ''].join('\n')

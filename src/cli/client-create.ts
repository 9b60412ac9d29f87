import { Command } from 'commander'
import { loadConfig } from '../config/index.ts'
import { parseScope } from '../oauth/index.ts'
import { usageError } from './command-error.ts'
import { findAccountId } from './one-account.ts'
import { factLines, jsonOption, type OutputOptions, printResult } from './output.ts'
import { commandLineActor, withCore } from './with-core.ts'

type Options = OutputOptions & {
  readonly name: string
  readonly owner?: string
  readonly scope?: string
  readonly audience?: readonly string[]
}

const scopesOf = (text: string | undefined): readonly string[] => {
  if (text === undefined) return []
  const scopes = parseScope(text)
  if (scopes) return scopes
  throw usageError('--scope is not a list of scopes', 'separate them by single spaces, in quotes')
}

/** One of the two commands that print a secret: it exists nowhere else, and whoever runs it has to put it somewhere. */
const act = async ({ name, scope, audience, owner, ...options }: Options): Promise<void> => {
  const scopes = scopesOf(scope)
  const config = loadConfig()
  const created = await withCore(config, async (core) =>
    core.serviceClients.create({
      name,
      scopes,
      ...(audience && { audiences: audience }),
      ...(owner !== undefined && { ownerId: await findAccountId(core, { email: owner }) }),
      actor: commandLineActor,
    }),
  )
  const secret = { client_id: created.clientId, client_secret: created.clientSecret }
  const { scopes: granted, audiences, ownerId } = created
  const owned = ownerId === undefined ? {} : { owner: ownerId }
  const lists = { scope: granted.join(' '), audiences: audiences.join(' ') }
  printResult(options, { ...secret, name, scopes: granted, audiences, ...owned }, [
    ...factLines({ ...secret, name, ...lists, ...owned }),
    'The secret is not shown again: only its hash is kept.',
  ])
}

const add = (audience: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  audience,
]

export const createClientCommand = (): Command =>
  new Command('create')
    .description('add a service client; prints its secret, this once')
    .requiredOption('--name <name>', '1 to 64 letters, digits, dots, underscores and hyphens')
    .option(
      '--scope <scopes>',
      'what its tokens may say it may do, e.g. "orders:read orders:write"',
    )
    .option(
      '--audience <audience>',
      'for whom it may ask for tokens; may be given several times',
      add,
    )
    .option('--owner <email>', 'the account it belongs to and ends with; nobody unless given')
    .option(...jsonOption)
    .action(act)

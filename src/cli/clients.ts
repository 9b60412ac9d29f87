import { Command } from 'commander'
import type { Core } from '../core.ts'
import {
  type DescribeClient,
  describeClient,
  describeClientSecret,
  oauthErrors,
  secretIdPattern,
} from '../oauth/index.ts'
import { parseScope } from '../sessions/index.ts'
import { findAccountId } from './accounts.ts'
import {
  assertId,
  factLines,
  jsonOption,
  type OutputOptions,
  printResult,
  usageError,
} from './output.ts'
import { commandConfig, commandLineActor, withCore } from './with-core.ts'

/** Prints a secret, like `client create`. */
const addSecret = async (clientId: string, options: OutputOptions): Promise<void> => {
  assertId('client_id', clientId)
  const config = await commandConfig()
  const added = await withCore(config, ({ serviceClients }) =>
    serviceClients.addSecret({ clientId, actor: commandLineActor }),
  )
  const shown = {
    client_id: added.clientId,
    client_secret: added.clientSecret,
    secret_id: added.secretId,
  }
  printResult(options, shown, [
    ...factLines(shown),
    'The secret is not shown again: only its hash is stored.',
  ])
}

const addClientSecretCommand = (): Command =>
  new Command('add')
    .description('add a secret to a client and print it once; its other secrets stay valid')
    .argument('<client_id>', 'as `client create` printed it')
    // One id in 64 begins with `-` and would be refused as an unknown option. `assertId` refuses what is not an id.
    .allowUnknownOption()
    .option(...jsonOption)
    .action(addSecret)

const listSecrets = async (clientId: string, options: OutputOptions): Promise<void> => {
  assertId('client_id', clientId)
  const config = await commandConfig()
  const secrets = await withCore(config, async ({ serviceClients: { store } }) => {
    if (!(await store.find(clientId))) throw oauthErrors.error('client_not_found')
    return (await store.secrets(clientId)).map(describeClientSecret)
  })
  const lines = secrets.map(({ secret_id: id, created_at: created, revoked_at: revoked }) =>
    [id, (revoked ? 'revoked' : 'live').padEnd('revoked'.length), created].join('  '),
  )
  printResult(options, { secrets }, lines)
}

const listClientSecretsCommand = (): Command =>
  new Command('list')
    .description('show the secrets of a client: id, status, creation')
    .argument('<client_id>', 'as `client create` printed it')
    .allowUnknownOption()
    .option(...jsonOption)
    .action(listSecrets)

const isSecretId = new RegExp(secretIdPattern)

const revokeSecret = async (
  clientId: string,
  secretId: string,
  options: OutputOptions,
): Promise<void> => {
  assertId('client_id', clientId)
  if (!isSecretId.test(secretId)) {
    throw usageError(
      'secret_id is not the id of a secret',
      '`cardea client secret list` shows them',
    )
  }
  const config = await commandConfig()
  const secret = await withCore(config, ({ serviceClients }) =>
    serviceClients.revokeSecret({ clientId, secretId, actor: commandLineActor }),
  )
  const shown = describeClientSecret(secret)
  printResult(options, shown, factLines(shown))
}

const revokeClientSecretCommand = (): Command =>
  new Command('revoke')
    .description('revoke one secret of a client')
    .argument('<client_id>', 'as `client create` printed it')
    .argument('<secret_id>', 'as `client secret list` shows it')
    // Both ids may begin with `-`.
    .allowUnknownOption()
    .option(...jsonOption)
    .action(revokeSecret)

const clientSecretCommand = (): Command => {
  const secret = new Command('secret').description('add, show and revoke secrets of a client')
  for (const command of [
    addClientSecretCommand(),
    listClientSecretsCommand(),
    revokeClientSecretCommand(),
  ]) {
    secret.addCommand(command)
  }
  return secret
}

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

/** One of the two commands that print a secret. It cannot be shown again, so the operator must store it. */
const createOne = async ({ name, scope, audience, owner, ...options }: Options): Promise<void> => {
  const scopes = scopesOf(scope)
  const config = await commandConfig()
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
    'The secret is not shown again: only its hash is stored.',
  ])
}

const add = (audience: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  audience,
]

const createClientCommand = (): Command =>
  new Command('create')
    .description('add a service client and print its secret once')
    .requiredOption('--name <name>', '1 to 64 letters, digits, dots, underscores and hyphens')
    .option('--scope <scopes>', 'the scopes of its tokens, e.g. "orders:read orders:write"')
    .option(
      '--audience <audience>',
      'an audience that it may request tokens for; may be given several times',
      add,
    )
    .option('--owner <email>', 'the account that owns it and with which it ends; default: none')
    .option(...jsonOption)
    .action(createOne)

type Shown = DescribeClient

const lineOf = ({
  client_id: id,
  created_at: created,
  disabled_at: disabled,
  name,
  owner,
}: Shown) => {
  const status = (disabled ? 'disabled' : 'active').padEnd('disabled'.length)
  return [id, status, created, name, ...(owner ? [`of ${owner}`] : [])].join('  ')
}

const read = async ({ serviceClients }: Core): Promise<Shown[]> =>
  (await serviceClients.store.list()).map(describeClient)

const listClientsCommand = (): Command =>
  new Command('list')
    .description('show all service clients: id, status, creation, name, owner')
    .option(...jsonOption)
    .action(async (options: OutputOptions) => {
      const config = await commandConfig()
      const clients = await withCore(config, read)
      printResult(options, { clients }, clients.map(lineOf))
    })

const disableOne = async (clientId: string, options: OutputOptions): Promise<void> => {
  assertId('client_id', clientId)
  const config = await commandConfig()
  const client = await withCore(config, ({ serviceClients }) =>
    serviceClients.disable({ clientId, actor: commandLineActor }),
  )
  const shown = describeClient(client)
  const { scopes, audiences, ...facts } = shown
  const lists = { scope: scopes.join(' '), audiences: audiences.join(' ') }
  printResult(options, shown, factLines({ ...facts, ...lists }))
}

const disableClientCommand = (): Command =>
  new Command('disable')
    .description('permanently disable a service client and revoke its tokens')
    .argument('<client_id>', 'as `client create` printed it')
    // One id in 64 begins with `-` and would be refused as an unknown option. `assertId` refuses what is not an id.
    .allowUnknownOption()
    .option(...jsonOption)
    .action(disableOne)

export const clientCommand = (): Command => {
  const client = new Command('client').description('add, show and disable service clients')
  for (const command of [
    createClientCommand(),
    listClientsCommand(),
    disableClientCommand(),
    clientSecretCommand(),
  ]) {
    client.addCommand(command)
  }
  return client
}

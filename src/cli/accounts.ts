import { once } from 'node:events'
import { Command, InvalidArgumentError, Option } from 'commander'
import { Value } from 'typebox/value'
import {
  type Account,
  accountErrors,
  type DescribeAccount,
  describeAccount,
  parseEmail,
  roleSchema,
} from '../accounts/index.ts'
import type { Core } from '../core.ts'
import {
  assertId,
  factLines,
  jsonOption,
  type OutputOptions,
  printResult,
  usageError,
} from './output.ts'
import { readNewPassword } from './prompt.ts'
import { commandConfig, commandLineActor, withCore } from './with-core.ts'

export type OneAccountOptions = OutputOptions & {
  readonly sub?: string
  readonly email?: string
}

/** A command that changes one account, given by one of two options. */
export const oneAccountCommand = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .option('--sub <id>', 'the account with this id')
    .option('--email <email>', 'the account with this address')

/** Called before any store is opened. */
export const assertOneAccount = ({ sub, email }: OneAccountOptions): void => {
  if ((sub === undefined) === (email === undefined)) {
    throw usageError('exactly one account is needed', 'name it with --sub or with --email')
  }
  assertId('--sub', sub)
}

/** @throws account_not_found when no account has the address, invalid_email */
export const findAccountId = async (
  { stores }: Core,
  { sub, email }: OneAccountOptions,
): Promise<string> => {
  if (sub !== undefined) return sub
  if (email === undefined) throw new TypeError('neither an id nor an address')
  const account = await stores.accounts.findByEmail(parseEmail(email).canonical)
  if (!account) throw accountErrors.error('account_not_found')
  return account.accountId
}

const printAccount = (options: OutputOptions, account: Account): void => {
  const shown = describeAccount(account)
  const { id, email, status } = shown
  printResult(options, shown, factLines({ id, email, status, roles: shown.roles.join(' ') }))
}

/** Declared only to refuse it with a reason and without quoting its value. */
const passwordOption = (): Option => new Option('--password [password]').hideHelp()

const refusePassword = (given: string | true | undefined): void => {
  if (given === undefined) return
  throw usageError(
    'a password on the command line can be read by every user of this machine',
    'leave it out and type it when asked, or send it as the first line of standard input',
  )
}

/** Each `--role` adds one, in the same form as in the admin API. */
const collectRole = (role: string, before: readonly string[] = []): readonly string[] => {
  if (!Value.Check(roleSchema, role)) {
    throw new InvalidArgumentError(
      'A role starts with a letter a-z, then letters, digits and _ . : -',
    )
  }
  return before.includes(role) ? before : [...before, role]
}

type ListOptions = OutputOptions & { readonly email?: string }

type Shown = DescribeAccount

const pageSize = 1_000

/** One page at a time, so that a million accounts need no more memory than a page. */
async function* pages({ stores }: Core, email: string | undefined): AsyncGenerator<Shown[]> {
  const { accounts } = stores
  if (email !== undefined) {
    yield (await accounts.listByEmail(parseEmail(email).canonical)).map(describeAccount)
    return
  }
  let after: string | undefined
  do {
    const page = await accounts.list(after, pageSize)
    yield page.map(describeAccount)
    after = page.length === pageSize ? page.at(-1)?.accountId : undefined
  } while (after !== undefined)
}

const lineOf = ({ id, status, created_at, email, roles }: Shown): string =>
  `${[id, status.padEnd('disabled'.length), created_at, email, roles.join(' ')].join('  ').trimEnd()}\n`

/** Waits for a slow reader instead of buffering everything. */
const write = async (text: string): Promise<void> => {
  if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain')
}

const show = async (core: Core, { email, json }: ListOptions): Promise<void> => {
  // Reading personal data is recorded in the audit trail, as in the admin API.
  await core.stores.audit.record({
    event: 'operator_read',
    outcome: 'success',
    actor: commandLineActor,
    details: { what: 'accounts' },
  })
  let separator = ''
  if (json) await write('{"accounts":[')
  for await (const page of pages(core, email)) {
    if (page.length === 0) continue
    const texts = page.map((account) => (json ? JSON.stringify(account) : lineOf(account)))
    await write(json ? `${separator}${texts.join(',')}` : texts.join(''))
    separator = ','
  }
  if (json) await write(']}\n')
}

const listAccountsCommand = (): Command =>
  new Command('list')
    .description('show all accounts: id, status, creation, address, roles')
    .option('--email <email>', 'only the account with this address')
    .option(...jsonOption)
    .action(async (options: ListOptions) => {
      const config = await commandConfig()
      await withCore(config, (core) => show(core, options))
    })

type CreateOptions = OutputOptions & {
  readonly email: string
  readonly role?: readonly string[]
  readonly password?: string | true
}

const createOne = async ({
  email,
  role,
  password: given,
  ...options
}: CreateOptions): Promise<void> => {
  refusePassword(given)
  const config = await commandConfig()
  // Checked before a person types a password. No store is open during the input.
  parseEmail(email)
  const password = await readNewPassword()
  const account = await withCore(config, (core) =>
    core.createAccount({ email, password, roles: role ?? [], actor: commandLineActor }),
  )
  const shown = describeAccount(account)
  const roles = shown.roles.length > 0 ? { roles: shown.roles.join(' ') } : {}
  printResult(options, shown, factLines({ id: shown.id, email: shown.email, ...roles }))
}

const createAccountCommand = (): Command =>
  new Command('create')
    .description('add an account; its password is asked for, or read as the first line of stdin')
    .requiredOption('--email <email>', 'the address it logs in with')
    .option('--role <role>', 'a role, e.g. operator; may be given several times', collectRole)
    .addOption(passwordOption())
    .option(...jsonOption)
    .action(createOne)

type ChangeOptions = OneAccountOptions & { readonly role?: readonly string[] }

type Change = {
  readonly status?: 'active' | 'disabled'
  readonly roles?: readonly string[]
  readonly email?: string
}

const change = async (options: ChangeOptions, wanted: Change): Promise<void> => {
  assertOneAccount(options)
  if (wanted.email !== undefined) parseEmail(wanted.email)
  const config = await commandConfig()
  const account = await withCore(config, async (core) =>
    core.changeAccount({
      ...wanted,
      accountId: await findAccountId(core, options),
      actor: commandLineActor,
    }),
  )
  printAccount(options, account)
}

const accountStatusCommand = (
  name: string,
  status: 'active' | 'disabled',
  description: string,
): Command =>
  oneAccountCommand(name, description)
    .option(...jsonOption)
    .action((options: ChangeOptions) => change(options, { status }))

const changeAccountRoles = (): Command =>
  oneAccountCommand('roles', 'set the roles to exactly the given ones; without any, remove all')
    .option('--role <role>', 'a role; may be given several times', collectRole)
    .option(...jsonOption)
    .action((options: ChangeOptions) => change(options, { roles: options.role ?? [] }))

const changeAccountEmail = (): Command =>
  oneAccountCommand('email', 'change the login address; sessions continue')
    .requiredOption('--to <email>', 'the new address')
    .option(...jsonOption)
    .action(({ to, ...options }: OneAccountOptions & { readonly to: string }) =>
      change(options, { email: to }),
    )

type PasswordOptions = OneAccountOptions & { readonly password?: string | true }

const setOnePassword = async ({ password: given, ...options }: PasswordOptions): Promise<void> => {
  refusePassword(given)
  assertOneAccount(options)
  const config = await commandConfig()
  // Checked before a person types a password. No store is open during the input.
  if (options.email !== undefined) parseEmail(options.email)
  const password = await readNewPassword()
  const account = await withCore(config, async (core) =>
    core.setPassword({
      accountId: await findAccountId(core, options),
      password,
      actor: commandLineActor,
    }),
  )
  printAccount(options, account)
}

const accountPasswordCommand = (): Command =>
  oneAccountCommand(
    'password',
    'set another password, asked for or the first line of stdin, and end every session',
  )
    .addOption(passwordOption())
    .option(...jsonOption)
    .action(setOnePassword)

export const accountCommand = (): Command => {
  const account = new Command('account').description('add, show and change accounts')
  for (const command of [
    createAccountCommand(),
    listAccountsCommand(),
    accountStatusCommand(
      'disable',
      'disabled',
      'end every session, refuse further logins, and permanently disable its service clients',
    ),
    accountStatusCommand('enable', 'active', 'let it log in again, also after too many failures'),
    changeAccountRoles(),
    changeAccountEmail(),
    accountPasswordCommand(),
  ]) {
    account.addCommand(command)
  }
  return account
}

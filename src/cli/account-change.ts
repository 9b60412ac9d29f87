import { Command } from 'commander'
import { accountErrors, describeAccount, parseEmail } from '../accounts/index.ts'
import type { Core } from '../compose/core.ts'
import { loadConfig } from '../config/index.ts'
import { usageError } from './command-error.ts'
import { demandId } from './id-option.ts'
import { factLines, jsonOption, type OutputOptions, printResult } from './output.ts'
import { collectRole } from './role-option.ts'
import { commandLineActor, withCore } from './with-core.ts'

type Options = OutputOptions & {
  readonly sub?: string
  readonly email?: string
  readonly role?: readonly string[]
}

type Change = {
  readonly status?: 'active' | 'disabled'
  readonly roles?: readonly string[]
}

const findId = async ({ stores }: Core, { sub, email }: Options): Promise<string> => {
  if (sub !== undefined) return sub
  if (email === undefined) throw new TypeError('neither an id nor an address')
  const account = await stores.accounts.findByEmail(parseEmail(email).canonical)
  if (!account) throw accountErrors.error('account_not_found')
  return account.accountId
}

const change = async (options: Options, wanted: Change): Promise<void> => {
  if ((options.sub === undefined) === (options.email === undefined)) {
    throw usageError('exactly one account is needed', 'name it with --sub or with --email')
  }
  demandId('--sub', options.sub)
  const config = loadConfig()
  const account = await withCore(config, async (core) =>
    core.changeAccount({
      ...wanted,
      accountId: await findId(core, options),
      actor: commandLineActor,
    }),
  )
  const shown = describeAccount(account)
  const { id, email, status } = shown
  printResult(options, shown, factLines({ id, email, status, roles: shown.roles.join(' ') }))
}

const changing = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .option('--sub <id>', 'the account with this id')
    .option('--email <email>', 'the account with this address')

export const accountStatusCommand = (
  name: string,
  status: 'active' | 'disabled',
  description: string,
): Command =>
  changing(name, description)
    .option(...jsonOption)
    .action((options: Options) => change(options, { status }))

export const changeAccountRoles = (): Command =>
  changing('roles', 'set the roles to exactly those named; none takes all away')
    .option('--role <role>', 'a role; may be given several times', collectRole)
    .option(...jsonOption)
    .action((options: Options) => change(options, { roles: options.role ?? [] }))

import type { Command } from 'commander'
import { loadConfig } from '../config/index.ts'
import {
  demandOneAccount,
  findAccountId,
  type OneAccountOptions,
  oneAccountCommand,
  printAccount,
} from './one-account.ts'
import { jsonOption } from './output.ts'
import { collectRole } from './role-option.ts'
import { commandLineActor, withCore } from './with-core.ts'

type Options = OneAccountOptions & { readonly role?: readonly string[] }

type Change = {
  readonly status?: 'active' | 'disabled'
  readonly roles?: readonly string[]
}

const change = async (options: Options, wanted: Change): Promise<void> => {
  demandOneAccount(options)
  const config = loadConfig()
  const account = await withCore(config, async (core) =>
    core.changeAccount({
      ...wanted,
      accountId: await findAccountId(core, options),
      actor: commandLineActor,
    }),
  )
  printAccount(options, account)
}

export const accountStatusCommand = (
  name: string,
  status: 'active' | 'disabled',
  description: string,
): Command =>
  oneAccountCommand(name, description)
    .option(...jsonOption)
    .action((options: Options) => change(options, { status }))

export const changeAccountRoles = (): Command =>
  oneAccountCommand('roles', 'set the roles to exactly those named; none takes all away')
    .option('--role <role>', 'a role; may be given several times', collectRole)
    .option(...jsonOption)
    .action((options: Options) => change(options, { roles: options.role ?? [] }))

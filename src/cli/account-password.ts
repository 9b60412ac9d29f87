import type { Command } from 'commander'
import { parseEmail } from '../accounts/index.ts'
import { loadConfig } from '../config/index.ts'
import {
  demandOneAccount,
  findAccountId,
  type OneAccountOptions,
  oneAccountCommand,
  printAccount,
} from './one-account.ts'
import { jsonOption } from './output.ts'
import { passwordOption, refusePassword } from './password-option.ts'
import { readNewPassword } from './prompt.ts'
import { commandLineActor, withCore } from './with-core.ts'

type Options = OneAccountOptions & { readonly password?: string | true }

const act = async ({ password: given, ...options }: Options): Promise<void> => {
  refusePassword(given)
  demandOneAccount(options)
  const config = loadConfig()
  // Before anybody types a password for nothing. No store is open while a person thinks.
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

export const accountPasswordCommand = (): Command =>
  oneAccountCommand(
    'password',
    'set another password, asked for or the first line of stdin, and end every session',
  )
    .addOption(passwordOption())
    .option(...jsonOption)
    .action(act)

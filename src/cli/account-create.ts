import { Command } from 'commander'
import { describeAccount, parseEmail } from '../accounts/index.ts'
import { loadConfig } from '../config/index.ts'
import { factLines, jsonOption, type OutputOptions, printResult } from './output.ts'
import { passwordOption, refusePassword } from './password-option.ts'
import { readNewPassword } from './prompt.ts'
import { collectRole } from './role-option.ts'
import { commandLineActor, withCore } from './with-core.ts'

type Options = OutputOptions & {
  readonly email: string
  readonly role?: readonly string[]
  readonly password?: string | true
}

const act = async ({ email, role, password: given, ...options }: Options): Promise<void> => {
  refusePassword(given)
  const config = loadConfig()
  // Before anybody types a password for nothing. No store is open while a person thinks.
  parseEmail(email)
  const password = await readNewPassword()
  const account = await withCore(config, (core) =>
    core.createAccount({ email, password, roles: role ?? [], actor: commandLineActor }),
  )
  const shown = describeAccount(account)
  const roles = shown.roles.length > 0 ? { roles: shown.roles.join(' ') } : {}
  printResult(options, shown, factLines({ id: shown.id, email: shown.email, ...roles }))
}

export const createAccountCommand = (): Command =>
  new Command('create')
    .description('add an account; its password is asked for, or read as the first line of stdin')
    .requiredOption('--email <email>', 'the address it logs in with')
    .option('--role <role>', 'a role, e.g. operator; may be given several times', collectRole)
    .addOption(passwordOption())
    .option(...jsonOption)
    .action(act)

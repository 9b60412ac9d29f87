import { Command, Option } from 'commander'
import { describeAccount, parseEmail } from '../accounts/index.ts'
import { loadConfig } from '../config/index.ts'
import { usageError } from './command-error.ts'
import { factLines, jsonOption, type OutputOptions, printResult } from './output.ts'
import { readNewPassword } from './prompt.ts'
import { collectRole } from './role-option.ts'
import { commandLineActor, withCore } from './with-core.ts'

type Options = OutputOptions & {
  readonly email: string
  readonly role?: readonly string[]
  readonly password?: string | true
}

/** Known to the parser only to be refused with the reason, and never to be quoted as a mistake. */
const passwordOption = () => new Option('--password [password]').hideHelp()

const act = async ({ email, role, password: given, ...options }: Options): Promise<void> => {
  if (given !== undefined) {
    throw usageError(
      'a password on the command line can be read by every user of this machine',
      'leave it out and type it when asked, or send it as the first line of standard input',
    )
  }
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

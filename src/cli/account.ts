import { Command } from 'commander'
import { accountStatusCommand, changeAccountRoles } from './account-change.ts'
import { createAccountCommand } from './account-create.ts'
import { listAccountsCommand } from './account-list.ts'
import { accountPasswordCommand } from './account-password.ts'

export const accountCommand = (): Command => {
  const account = new Command('account').description('add, show and change accounts')
  for (const command of [
    createAccountCommand(),
    listAccountsCommand(),
    accountStatusCommand(
      'disable',
      'disabled',
      'end every session and refuse further log-ins; its service clients end for good',
    ),
    accountStatusCommand('enable', 'active', 'let it log in again, also after too many failures'),
    changeAccountRoles(),
    accountPasswordCommand(),
  ]) {
    account.addCommand(command)
  }
  return account
}

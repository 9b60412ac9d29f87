import { Command } from 'commander'
import { type Account, accountErrors, describeAccount, parseEmail } from '../accounts/index.ts'
import type { Core } from '../compose/core.ts'
import { usageError } from './command-error.ts'
import { demandId } from './id-option.ts'
import { factLines, type OutputOptions, printResult } from './output.ts'

export type OneAccountOptions = OutputOptions & {
  readonly sub?: string
  readonly email?: string
}

/** A command that changes one account, named by either of two options. */
export const oneAccountCommand = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .option('--sub <id>', 'the account with this id')
    .option('--email <email>', 'the account with this address')

/** Before any store is open. */
export const demandOneAccount = ({ sub, email }: OneAccountOptions): void => {
  if ((sub === undefined) === (email === undefined)) {
    throw usageError('exactly one account is needed', 'name it with --sub or with --email')
  }
  demandId('--sub', sub)
}

/** @throws account_not_found when nobody has the address, invalid_email */
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

export const printAccount = (options: OutputOptions, account: Account): void => {
  const shown = describeAccount(account)
  const { id, email, status } = shown
  printResult(options, shown, factLines({ id, email, status, roles: shown.roles.join(' ') }))
}

import type { AccountStore, LoginAccount, StoredPassword } from '../accounts/index.ts'

/**
 * Clears the failures that were counted and keeps a renewed hash, under the account's lock. Most of those who sign in leave neither to be
 * written, and then nothing is.
 */
export const recordSuccess = async (
  accounts: Pick<AccountStore, 'recordLogin'>,
  { accountId, failedLogins }: LoginAccount,
  rehashed: StoredPassword | undefined,
): Promise<void> => {
  if (failedLogins > 0 || rehashed) await accounts.recordLogin(accountId, rehashed)
}

import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { callerOf } from '../http/access.ts'
import type { Account } from './account.ts'
import type { AccountStore } from './account-store.ts'
import { accountErrors } from './errors.ts'
import { type AccountAnswer, ownAccountSchema } from './schemas.ts'

export type AccountRouteDeps = { readonly accounts: Pick<AccountStore, 'find'> }

/** An account as its owner and operators see it: nothing of the password. */
export const describeAccount = (account: Account): AccountAnswer => ({
  id: account.accountId,
  email: account.email,
  status: account.status,
  roles: [...account.roles],
  created_at: new Date(account.createdAtMs).toISOString(),
  updated_at: new Date(account.updatedAtMs).toISOString(),
})

export const accountRoutes =
  ({ accounts }: AccountRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()
    const options = { schema: ownAccountSchema, config: { access: 'session' } } as const
    app.get('/account', options, async (request) => {
      const account = await accounts.find(callerOf(request).accountId)
      if (!account) throw accountErrors.error('account_not_found')
      return describeAccount(account)
    })
  }

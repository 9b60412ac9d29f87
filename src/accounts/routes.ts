import { type Static, Type } from 'typebox'
import { callerOf } from '../http/access.ts'
import { problemResponses } from '../http/errors.ts'
import { defineRoute, type Route } from '../http/route.ts'
import { type Account, accountErrors } from './account.ts'
import type { AccountStore } from './account-store.ts'

export const roleSchema = Type.String({
  pattern: '^[a-z][a-z0-9_.:-]{0,63}$',
  description: 'Lower-case letters, digits and _ . : -; `operator` opens the admin API',
})

export const accountSchema = Type.Object({
  id: Type.String({ description: 'The `sub` of tokens; never reused' }),
  email: Type.String(),
  status: Type.Union([Type.Literal('active'), Type.Literal('disabled')]),
  roles: Type.Array(Type.String()),
  created_at: Type.String({ format: 'date-time' }),
  updated_at: Type.String({ format: 'date-time' }),
})

export type AccountResponse = Static<typeof accountSchema>

const ownAccountSchema = {
  summary: 'Who I am',
  response: { 200: accountSchema, ...problemResponses(401, 403, 404, 503) },
}

export type AccountRouteDeps = { readonly accounts: Pick<AccountStore, 'find'> }

/** An account as its owner and operators see it, without the password. */
export const describeAccount = (account: Account): AccountResponse => ({
  id: account.accountId,
  email: account.email,
  status: account.status,
  roles: [...account.roles],
  created_at: new Date(account.createdAtMs).toISOString(),
  updated_at: new Date(account.updatedAtMs).toISOString(),
})

export type DescribeAccount = ReturnType<typeof describeAccount>

export const accountRoutes = ({ accounts }: AccountRouteDeps): Route[] => [
  defineRoute({
    method: 'GET',
    path: '/account',
    access: 'session',
    schema: ownAccountSchema,
    handler: async (request) => {
      const account = await accounts.find(callerOf(request).accountId)
      if (!account) throw accountErrors.error('account_not_found')
      return describeAccount(account)
    },
  }),
]

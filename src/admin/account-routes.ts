import type { FastifyRequest } from 'fastify'
import {
  type AccountStore,
  accountErrors,
  type ChangeAccount,
  type CreateAccount,
  describeAccount,
  parseEmail,
} from '../accounts/index.ts'
import type { Actor, AuditTrail, RequestFacts } from '../audit/index.ts'
import { callerOf } from '../http/access.ts'
import { clientFacts } from '../http/client-facts.ts'
import { defineRoute, type Route } from '../http/route.ts'
import type { Clock } from '../lib/machine.ts'
import { describeSession, type SessionStore } from '../sessions/index.ts'
import {
  accountSessionsSchema,
  changeAccountSchema,
  createAccountSchema,
  listAccountsSchema,
} from './account-schemas.ts'

/** Who acts on an operator route, and from where, for the audit trail. */
export const operatorOf = (request: FastifyRequest): { actor: Actor; client: RequestFacts } => ({
  actor: { kind: 'account', accountId: callerOf(request).accountId },
  client: clientFacts(request),
})

export type AdminAccountRouteDeps = {
  readonly clock: Clock
  readonly accounts: Pick<AccountStore, 'find' | 'list' | 'listByEmail'>
  readonly sessions: Pick<SessionStore, 'listOfAccount'>
  readonly audit: AuditTrail
  readonly create: CreateAccount
  readonly change: ChangeAccount
}

const pageSize = 100

/** Operators can read personal data, so every read is recorded in the audit trail. */
const recordRead = (audit: AuditTrail, request: FastifyRequest, what: string, accountId?: string) =>
  audit.record({
    event: 'operator_read',
    outcome: 'success',
    ...operatorOf(request),
    ...(accountId && { accountId }),
    details: { what },
  })

const accountReads = (deps: AdminAccountRouteDeps): Route[] => {
  const { accounts, sessions, audit, clock } = deps
  return [
    defineRoute({
      method: 'GET',
      path: '/admin/accounts',
      access: 'operator',
      schema: listAccountsSchema,
      handler: async (request) => {
        const { email, after } = request.query
        await recordRead(audit, request, 'accounts')
        if (email !== undefined) {
          const found = await accounts.listByEmail(parseEmail(email).canonical)
          return { accounts: found.map(describeAccount) }
        }
        const page = await accounts.list(after, pageSize)
        const last = page.length === pageSize ? page.at(-1) : undefined
        return { accounts: page.map(describeAccount), ...(last && { next: last.accountId }) }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/admin/accounts/:id/sessions',
      access: 'operator',
      schema: accountSessionsSchema,
      handler: async (request) => {
        const { id } = request.params
        if (!(await accounts.find(id))) throw accountErrors.error('account_not_found')
        await recordRead(audit, request, 'sessions', id)
        const summaries = await sessions.listOfAccount(id, clock.nowMs())
        const current = callerOf(request).sessionId
        return { sessions: summaries.map((summary) => describeSession(summary, current)) }
      },
    }),
  ]
}

const accountActs = ({ create, change }: AdminAccountRouteDeps): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/admin/accounts',
    access: 'operator',
    schema: createAccountSchema,
    handler: async (request, reply) => {
      const { email, password, roles = [] } = request.body
      const account = await create({ email, password, roles, ...operatorOf(request) })
      return reply.code(201).send(describeAccount(account))
    },
  }),
  defineRoute({
    method: 'PATCH',
    path: '/admin/accounts/:id',
    access: 'operator',
    schema: changeAccountSchema,
    handler: async (request) => {
      const accountId = request.params.id
      return describeAccount(await change({ ...request.body, accountId, ...operatorOf(request) }))
    },
  }),
]

export const adminAccountRoutes = (deps: AdminAccountRouteDeps): Route[] => [
  ...accountReads(deps),
  ...accountActs(deps),
]

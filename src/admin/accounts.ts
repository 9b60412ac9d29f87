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
import { httpErrors } from '../http/errors.ts'
import { defineRoute, type Route } from '../http/route.ts'
import type { Clock } from '../lib/machine.ts'
import { describeSession, type SessionStore } from '../sessions/index.ts'
import type { Revoke, RevokeTarget } from './revoke.ts'
import {
  accountSessionsSchema,
  changeAccountSchema,
  createAccountSchema,
  listAccountsSchema,
  type RevokeBody,
  revokeSchema,
} from './schemas.ts'

/** Who acts, on a route of operators, and from where: for the trail. */
export const operatorOf = (request: FastifyRequest): { actor: Actor; client: RequestFacts } => ({
  actor: { kind: 'account', accountId: callerOf(request).accountId },
  client: clientFacts(request),
})

export type AdminRouteDeps = {
  readonly clock: Clock
  readonly accounts: Pick<AccountStore, 'find' | 'list' | 'listByEmail'>
  readonly sessions: Pick<SessionStore, 'listOfAccount'>
  readonly audit: AuditTrail
  readonly create: CreateAccount
  readonly change: ChangeAccount
  readonly revoke: Revoke
}

const pageSize = 100

/** @throws invalid_request unless exactly one target is named */
const targetOf = ({ sub, email, sid, jti, kid, everyone }: RevokeBody): RevokeTarget => {
  const targets: RevokeTarget[] = []
  if (sub !== undefined) targets.push({ kind: 'account', accountId: sub })
  if (email !== undefined) targets.push({ kind: 'email', email })
  if (sid !== undefined) targets.push({ kind: 'session', sessionId: sid })
  if (jti !== undefined) targets.push({ kind: 'token', tokenId: jti })
  if (kid !== undefined) targets.push({ kind: 'key', kid })
  if (everyone !== undefined) targets.push({ kind: 'everyone' })
  const [target] = targets
  if (target && targets.length === 1) return target
  throw httpErrors.error('invalid_request', {
    detail: 'Name exactly one of sub, email, sid, jti, kid and everyone.',
  })
}

/** Operators see other people's data: that they looked is part of the trail. */
const recordRead = (audit: AuditTrail, request: FastifyRequest, what: string, accountId?: string) =>
  audit.record({
    event: 'operator_read',
    outcome: 'success',
    ...operatorOf(request),
    ...(accountId && { accountId }),
    details: { what },
  })

const accountReads = (deps: AdminRouteDeps): Route[] => {
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

const accountActs = ({ create, change }: AdminRouteDeps): Route[] => [
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

const revocation = (deps: AdminRouteDeps): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/admin/revoke',
    access: 'operator',
    schema: revokeSchema,
    handler: async (request) => {
      const target = targetOf(request.body)
      const note = request.body.reason
      const revoked = await deps.revoke({ target, note, ...operatorOf(request) })
      return {
        seq: revoked.seq,
        committed_at: new Date(revoked.committedAtMs).toISOString(),
        effective_by: new Date(revoked.effectiveByMs).toISOString(),
        checked: revoked.isChecked,
      }
    },
  }),
]

export const adminRoutes = (deps: AdminRouteDeps): Route[] => [
  ...accountReads(deps),
  ...accountActs(deps),
  ...revocation(deps),
]

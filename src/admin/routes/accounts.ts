import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import {
  type AccountStore,
  accountErrors,
  type changeAccount,
  type createAccount,
  describeAccount,
  parseEmail,
} from '../../accounts/index.ts'
import type { AuditTrail } from '../../audit/index.ts'
import { callerOf } from '../../http/access.ts'
import { httpErrors } from '../../http/errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { describeSession, type SessionStore } from '../../sessions/index.ts'
import type { RevokeTarget, revoke } from '../revoke.ts'
import {
  accountSessionsSchema,
  changeAccountSchema,
  createAccountSchema,
  listAccountsSchema,
  type RevokeBody,
  revokeSchema,
} from '../schemas.ts'
import { operatorOf } from './operator.ts'

export type AdminRouteDeps = {
  readonly clock: Clock
  readonly accounts: Pick<AccountStore, 'find' | 'list'>
  readonly sessions: Pick<SessionStore, 'listOfAccount'>
  readonly audit: AuditTrail
  readonly create: ReturnType<typeof createAccount>
  readonly change: ReturnType<typeof changeAccount>
  readonly revoke: ReturnType<typeof revoke>
}

const access = 'operator'

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

const accountReads = (instance: FastifyInstance, deps: AdminRouteDeps): void => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { accounts, sessions, audit, clock } = deps

  app.get(
    '/admin/accounts',
    { schema: listAccountsSchema, config: { access } },
    async (request) => {
      const { email, after } = request.query
      await recordRead(audit, request, 'accounts')
      const page = await accounts.list({
        ...(email !== undefined && { canonicalEmail: parseEmail(email).canonical }),
        ...(after !== undefined && { afterId: after }),
        limit: pageSize,
      })
      const last = page.length === pageSize ? page.at(-1) : undefined
      return { accounts: page.map(describeAccount), ...(last && { next: last.accountId }) }
    },
  )

  app.get(
    '/admin/accounts/:id/sessions',
    { schema: accountSessionsSchema, config: { access } },
    async (request) => {
      const { id } = request.params
      if (!(await accounts.find(id))) throw accountErrors.error('account_not_found')
      await recordRead(audit, request, 'sessions', id)
      const summaries = await sessions.listOfAccount(id, clock.nowMs())
      const current = callerOf(request).sessionId
      return { sessions: summaries.map((summary) => describeSession(summary, current)) }
    },
  )
}

const accountActs = (instance: FastifyInstance, { create, change }: AdminRouteDeps): void => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()

  app.post(
    '/admin/accounts',
    { schema: createAccountSchema, config: { access } },
    async (request, reply) => {
      const { email, password, roles = [] } = request.body
      const account = await create({ email, password, roles, ...operatorOf(request) })
      return reply.code(201).send(describeAccount(account))
    },
  )

  app.patch(
    '/admin/accounts/:id',
    { schema: changeAccountSchema, config: { access } },
    async (request) => {
      const { status, roles } = request.body
      const accountId = request.params.id
      return describeAccount(await change({ accountId, status, roles, ...operatorOf(request) }))
    },
  )
}

const revocation = (instance: FastifyInstance, deps: AdminRouteDeps): void => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  app.post('/admin/revoke', { schema: revokeSchema, config: { access } }, async (request) => {
    const target = targetOf(request.body)
    const note = request.body.reason
    const revoked = await deps.revoke({ target, note, ...operatorOf(request) })
    return {
      seq: revoked.seq,
      committed_at: new Date(revoked.committedAtMs).toISOString(),
      effective_by: new Date(revoked.effectiveByMs).toISOString(),
    }
  })
}

export const adminRoutes =
  (deps: AdminRouteDeps) =>
  (app: FastifyInstance): void => {
    accountReads(app, deps)
    accountActs(app, deps)
    revocation(app, deps)
  }

import { type Static, Type } from 'typebox'
import { httpErrors, problemResponses } from '../http/errors.ts'
import { defineRoute, type Route } from '../http/route.ts'
import { kidPattern } from '../keys/index.ts'
import { idPattern } from '../lib/machine.ts'
import { operatorOf } from './account-routes.ts'
import { closed, email } from './account-schemas.ts'
import type { Revoke, RevokeTarget } from './revoke.ts'

export const revokeBodySchema = Type.Object(
  {
    sub: Type.Optional(
      Type.String({ pattern: idPattern, description: 'All of this account or service client' }),
    ),
    email: Type.Optional(email),
    sid: Type.Optional(Type.String({ pattern: idPattern, description: 'This session' })),
    jti: Type.Optional(Type.String({ pattern: idPattern, description: 'This access token' })),
    kid: Type.Optional(Type.String({ pattern: kidPattern, description: 'This signing key' })),
    everyone: Type.Optional(Type.Literal(true, { description: 'Everything issued so far' })),
    reason: Type.Optional(
      Type.String({ minLength: 1, maxLength: 200, description: 'For the audit trail' }),
    ),
  },
  closed,
)

export type RevokeBody = Static<typeof revokeBodySchema>

const revokeSchema = {
  summary:
    'Revoke exactly one of: an account or service client, a session, a token, a signing key, everything',
  body: revokeBodySchema,
  response: {
    200: Type.Object({
      seq: Type.Integer({ description: 'Position in the revocation log' }),
      committed_at: Type.String({ format: 'date-time' }),
      effective_by: Type.String({
        format: 'date-time',
        description:
          'After this time no verifier that reports itself fresh accepts what was revoked',
      }),
      checked: Type.Boolean({
        description:
          'Whether the target is known to exist: false for a `jti`, which is recorded unchecked',
      }),
    }),
    ...problemResponses(400, 401, 403, 404, 413, 415, 503),
  },
}

export type AdminRevokeRouteDeps = { readonly revoke: Revoke }

/** @throws invalid_request unless exactly one target is given */
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

export const adminRevokeRoutes = ({ revoke }: AdminRevokeRouteDeps): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/admin/revoke',
    access: 'operator',
    schema: revokeSchema,
    handler: async (request) => {
      const target = targetOf(request.body)
      const note = request.body.reason
      const revoked = await revoke({ target, note, ...operatorOf(request) })
      return {
        seq: revoked.seq,
        committed_at: new Date(revoked.committedAtMs).toISOString(),
        effective_by: new Date(revoked.effectiveByMs).toISOString(),
        checked: revoked.isChecked,
      }
    },
  }),
]

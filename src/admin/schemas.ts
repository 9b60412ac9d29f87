import { type Static, Type } from 'typebox'
import { accountSchema, roleSchema } from '../accounts/index.ts'
import { problemResponses } from '../http/problem.ts'
import { kidPattern } from '../keys/index.ts'
import { idPattern } from '../lib/id.ts'
import { sessionListSchema } from '../sessions/index.ts'

const id = Type.String({ pattern: idPattern })
const email = Type.String({ minLength: 1, maxLength: 320 })
const roles = Type.Array(roleSchema, { maxItems: 32, uniqueItems: true })
const closed = { additionalProperties: false } as const

export const createAccountSchema = {
  summary: 'Add an account',
  body: Type.Object(
    {
      email,
      password: Type.String({ minLength: 1, maxLength: 1024 }),
      roles: Type.Optional(roles),
    },
    closed,
  ),
  response: { 201: accountSchema, ...problemResponses(400, 401, 403, 409, 413, 415, 503) },
}

export const listAccountsSchema = {
  summary: 'Accounts, or the one with this e-mail address',
  querystring: Type.Object(
    {
      email: Type.Optional(email),
      after: Type.Optional(
        Type.String({ pattern: idPattern, description: 'The last id of the page before' }),
      ),
    },
    closed,
  ),
  response: {
    200: Type.Object({
      accounts: Type.Array(accountSchema),
      next: Type.Optional(
        Type.String({ description: 'What to send as `after` for the next page' }),
      ),
    }),
    ...problemResponses(400, 401, 403, 503),
  },
}

const accountParams = Type.Object({ id })

export const changeAccountSchema = {
  summary: 'Set the status or the roles of an account',
  params: accountParams,
  body: Type.Object(
    {
      status: Type.Optional(Type.Union([Type.Literal('active'), Type.Literal('disabled')])),
      roles: Type.Optional(roles),
    },
    { ...closed, minProperties: 1 },
  ),
  response: { 200: accountSchema, ...problemResponses(400, 401, 403, 404, 413, 415, 503) },
}

export const accountSessionsSchema = {
  summary: 'The live sessions of an account',
  params: accountParams,
  response: { 200: sessionListSchema, ...problemResponses(400, 401, 403, 404, 503) },
}

export const revokeBodySchema = Type.Object(
  {
    sub: Type.Optional(Type.String({ pattern: idPattern, description: 'All of this account' })),
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

export const revokeSchema = {
  summary: 'Take back exactly one of: an account, a session, a token, a signing key, everything',
  body: revokeBodySchema,
  response: {
    200: Type.Object({
      seq: Type.Integer({ description: 'Place in the log of revocations' }),
      committed_at: Type.String({ format: 'date-time' }),
      effective_by: Type.String({
        format: 'date-time',
        description: 'From then on no verifier that calls itself fresh accepts what was revoked',
      }),
    }),
    ...problemResponses(400, 401, 403, 404, 413, 415, 503),
  },
}

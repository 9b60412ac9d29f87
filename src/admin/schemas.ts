import { type Static, Type } from 'typebox'
import { accountSchema, roleSchema } from '../accounts/index.ts'
import { problemResponses } from '../http/errors.ts'
import { kidPattern } from '../keys/index.ts'
import { idPattern } from '../lib/machine.ts'
import { secretIdPattern } from '../oauth/index.ts'
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
  summary: 'Set the status, the roles or the e-mail address of an account',
  params: accountParams,
  body: Type.Object(
    {
      status: Type.Optional(Type.Union([Type.Literal('active'), Type.Literal('disabled')])),
      roles: Type.Optional(roles),
      email: Type.Optional(email),
    },
    { ...closed, minProperties: 1 },
  ),
  response: { 200: accountSchema, ...problemResponses(400, 401, 403, 404, 409, 413, 415, 503) },
}

export const accountSessionsSchema = {
  summary: 'The live sessions of an account',
  params: accountParams,
  response: { 200: sessionListSchema, ...problemResponses(400, 401, 403, 404, 503) },
}

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

export const revokeSchema = {
  summary:
    'Take back exactly one of: an account or service client, a session, a token, a signing key, everything',
  body: revokeBodySchema,
  response: {
    200: Type.Object({
      seq: Type.Integer({ description: 'Place in the log of revocations' }),
      committed_at: Type.String({ format: 'date-time' }),
      effective_by: Type.String({
        format: 'date-time',
        description: 'From then on no verifier that calls itself fresh accepts what was revoked',
      }),
      checked: Type.Boolean({
        description:
          'Whether what was named is known to exist: false for a `jti`, which is recorded whether or not a token has it',
      }),
    }),
    ...problemResponses(400, 401, 403, 404, 413, 415, 503),
  },
}

const time = Type.String({ format: 'date-time' })
/** Bounds what reaches the feature, which decides. */
const texts = Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { maxItems: 32 })

const client = {
  client_id: Type.String(),
  name: Type.String(),
  scopes: Type.Array(Type.String()),
  audiences: Type.Array(Type.String()),
  owner: Type.Optional(
    Type.String({ description: 'The account it belongs to and ends with; absent: nobody' }),
  ),
  created_at: time,
}

const secretText = Type.String({ description: 'Shown this once: only its hash is kept' })

const clientSchema = Type.Object({ ...client, disabled_at: Type.Optional(time) })

const clientParams = Type.Object({ id })

export const createClientSchema = {
  summary: 'Add a service client',
  body: Type.Object(
    {
      name: Type.String({ minLength: 1, maxLength: 64 }),
      scopes: Type.Optional(texts),
      audiences: Type.Optional(texts),
      owner: Type.Optional(
        Type.String({
          pattern: idPattern,
          description: 'The id of an active account, with which it is to end',
        }),
      ),
    },
    closed,
  ),
  response: {
    201: Type.Object({ ...client, client_secret: secretText }),
    ...problemResponses(400, 401, 403, 409, 413, 415, 503),
  },
}

export const listClientsSchema = {
  summary: 'All service clients, oldest first',
  response: {
    200: Type.Object({ clients: Type.Array(clientSchema) }),
    ...problemResponses(401, 403, 503),
  },
}

export const oneClientSchema = {
  summary: 'A service client, and the ids of its secrets',
  params: clientParams,
  response: {
    200: Type.Object({
      ...client,
      disabled_at: Type.Optional(time),
      secrets: Type.Array(
        Type.Object({
          secret_id: Type.String(),
          created_at: time,
          revoked_at: Type.Optional(time),
        }),
      ),
    }),
    ...problemResponses(400, 401, 403, 404, 503),
  },
}

export const changeClientSchema = {
  summary: 'Disable a service client, for good',
  params: clientParams,
  body: Type.Object({ status: Type.Literal('disabled') }, closed),
  response: { 200: clientSchema, ...problemResponses(400, 401, 403, 404, 413, 415, 503) },
}

export const addSecretSchema = {
  summary: 'Add a secret to a service client, beside those it has',
  params: clientParams,
  response: {
    201: Type.Object({
      client_id: Type.String(),
      secret_id: Type.String(),
      client_secret: secretText,
      created_at: time,
    }),
    ...problemResponses(400, 401, 403, 404, 409, 413, 415, 503),
  },
}

export const revokeSecretSchema = {
  summary: 'Revoke a secret of a service client',
  params: Type.Object({
    id,
    secret_id: Type.String({ pattern: secretIdPattern }),
  }),
  response: { 204: Type.Null(), ...problemResponses(400, 401, 403, 404, 409, 415, 503) },
}

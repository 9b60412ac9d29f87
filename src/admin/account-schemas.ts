import { Type } from 'typebox'
import { accountSchema, roleSchema } from '../accounts/index.ts'
import { problemResponses } from '../http/errors.ts'
import { idPattern } from '../lib/machine.ts'
import { sessionListSchema } from '../sessions/index.ts'

export const id = Type.String({ pattern: idPattern })
export const email = Type.String({ minLength: 1, maxLength: 320 })
const roles = Type.Array(roleSchema, { maxItems: 32, uniqueItems: true })
export const closed = { additionalProperties: false } as const

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
        Type.String({ pattern: idPattern, description: 'The last id of the previous page' }),
      ),
    },
    closed,
  ),
  response: {
    200: Type.Object({
      accounts: Type.Array(accountSchema),
      next: Type.Optional(Type.String({ description: 'Send it as `after` for the next page' })),
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

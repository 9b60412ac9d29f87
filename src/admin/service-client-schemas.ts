import { Type } from 'typebox'
import { problemResponses } from '../http/errors.ts'
import { idPattern } from '../lib/machine.ts'
import { secretIdPattern } from '../oauth/index.ts'
import { closed, id } from './account-schemas.ts'

const time = Type.String({ format: 'date-time' })
/** Only upper bounds. The feature checks the values. */
const texts = Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { maxItems: 32 })

const client = {
  client_id: Type.String(),
  name: Type.String(),
  scopes: Type.Array(Type.String()),
  audiences: Type.Array(Type.String()),
  owner: Type.Optional(
    Type.String({ description: 'The owning account, with which it ends; absent: no owner' }),
  ),
  created_at: time,
}

const secretText = Type.String({ description: 'Shown only now: only its hash is stored' })

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
          description: 'The id of an active account that owns the client; the client ends with it',
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
  summary: 'Permanently disable a service client',
  params: clientParams,
  body: Type.Object({ status: Type.Literal('disabled') }, closed),
  response: { 200: clientSchema, ...problemResponses(400, 401, 403, 404, 413, 415, 503) },
}

export const addSecretSchema = {
  summary: 'Add a secret to a service client; its other secrets stay valid',
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

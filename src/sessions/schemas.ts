import { type Static, Type } from 'typebox'
import { problemResponses } from '../http/problem.ts'
import { idPattern } from '../lib/id.ts'

/** Longer than any handle of any version; a schema bounds what reaches the codec. */
const maxHandleLength = 512

export const tokenAnswerSchema = Type.Object({
  access_token: Type.String({ description: 'A JWT of type at+jwt (RFC 9068)' }),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds' }),
  session_id: Type.String(),
  refresh_token: Type.Optional(
    Type.String({ description: 'Only for a session that was asked for with "delivery": "body"' }),
  ),
  device_token: Type.Optional(
    Type.String({
      description: 'Only after a log-in with "delivery": "body": send it with the next one',
    }),
  ),
})

/** Of a sign-in that is kept by cookies alone: no token that a script could read. */
export const cookieAnswerSchema = Type.Object({
  session_id: Type.String(),
  expires_in: Type.Integer({ description: 'Seconds until the session ends if it is not used' }),
})

export type CookieAnswer = Static<typeof cookieAnswerSchema>

export type TokenAnswer = Static<typeof tokenAnswerSchema>

const handleBody = Type.Object(
  {
    refresh_token: Type.Optional(
      Type.String({
        maxLength: maxHandleLength,
        description: 'Only for a session with "delivery": "body"; browsers send the cookie',
      }),
    ),
  },
  { additionalProperties: false },
)

/**
 * One object and no union, which would cost the refresh of a token session. All members may be left out, since those that may not are
 * written first, and people look for the token there.
 */
const refreshAnswerSchema = Type.Partial(tokenAnswerSchema)

export const refreshSchema = {
  summary: 'Exchange a refresh token for its successor and a new access token',
  body: handleBody,
  response: {
    200: refreshAnswerSchema,
    ...problemResponses(400, 401, 403, 409, 413, 415, 503),
  },
}

export const logoutSchema = {
  summary: 'End this session',
  body: handleBody,
  response: { 204: Type.Null(), ...problemResponses(400, 401, 403, 413, 415, 503) },
}

const summarySchema = Type.Object({
  id: Type.String(),
  current: Type.Boolean({ description: 'Whether it is the session that asks' }),
  kind: Type.Union([Type.Literal('token'), Type.Literal('cookie'), Type.Literal('sealed')]),
  delivery: Type.Union([Type.Literal('cookie'), Type.Literal('body')]),
  device: Type.String({ description: 'The User-Agent of the sign-in' }),
  address: Type.String({ description: 'Where the sign-in came from' }),
  created_at: Type.String({ format: 'date-time' }),
  last_used_at: Type.String({ format: 'date-time' }),
  expires_at: Type.String({ format: 'date-time', description: 'When it ends if it is not used' }),
})

export const sessionListSchema = Type.Object({ sessions: Type.Array(summarySchema) })

export type SessionList = Static<typeof sessionListSchema>

export const listSchema = {
  summary: 'My sessions, last used first',
  response: { 200: sessionListSchema, ...problemResponses(401, 503) },
}

export const endOneSchema = {
  summary: 'End one of my sessions',
  params: Type.Object({ id: Type.String({ pattern: idPattern }) }),
  response: { 204: Type.Null(), ...problemResponses(400, 401, 403, 404, 415, 503) },
}

export const endAllSchema = {
  summary: 'End all my sessions',
  querystring: Type.Object(
    {
      keep: Type.Optional(Type.Literal('current', { description: 'Spare the session that asks' })),
    },
    { additionalProperties: false },
  ),
  response: {
    200: Type.Object({ ended: Type.Integer({ description: 'How many sessions ended' }) }),
    ...problemResponses(400, 401, 403, 415, 503),
  },
}

const timeSchema = Type.String({ format: 'date-time' })

const sessionAnswerSchema = Type.Object({
  account: Type.Object({
    id: Type.String(),
    email: Type.String(),
    roles: Type.Array(Type.String()),
  }),
  session: Type.Object({
    id: Type.String(),
    created_at: timeSchema,
    auth_time: Type.String({
      format: 'date-time',
      description: 'The last sign-in of this session',
    }),
    last_used_at: Type.String({ format: 'date-time', description: 'To the minute or so' }),
    expires_at: Type.String({ format: 'date-time', description: 'When it ends if it is not used' }),
    absolute_expires_at: timeSchema,
  }),
  data: Type.Object(
    {},
    { additionalProperties: true, description: 'As `PUT /session/data` left it' },
  ),
})

export type SessionAnswer = Static<typeof sessionAnswerSchema>

export const sessionSchema = {
  summary: 'The session of my cookie',
  response: { 200: sessionAnswerSchema, ...problemResponses(400, 401, 503) },
}

export const replaceDataSchema = {
  summary: 'Replace what the web application keeps with the session',
  body: Type.Object({}, { additionalProperties: true }),
  response: {
    204: Type.Null(),
    ...problemResponses(400, 401, 403, 412, 413, 415, 428, 503),
  },
}

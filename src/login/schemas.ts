import { Type } from 'typebox'
import { problemResponses } from '../http/problem.ts'
import { cookieAnswerSchema, tokenAnswerSchema } from '../sessions/index.ts'

// Only bounds: what an address and a password may be is decided by the accounts feature, with the exact reason.
const maxEmailLength = 320
const maxPasswordLength = 1024

export const loginSchema = {
  summary: 'Sign in with e-mail address and password',
  body: Type.Object(
    {
      email: Type.String({ minLength: 1, maxLength: maxEmailLength }),
      password: Type.String({ minLength: 1, maxLength: maxPasswordLength }),
      session: Type.Optional(
        Type.Union([Type.Literal('token'), Type.Literal('cookie'), Type.Literal('sealed')], {
          description:
            'What keeps the session: tokens (default), a cookie that is looked up, or tokens in cookies',
        }),
      ),
      delivery: Type.Optional(
        Type.Union([Type.Literal('cookie'), Type.Literal('body')], {
          description:
            'Where the refresh token goes: a cookie (default, browsers) or the body (native clients, "session": "token" only)',
        }),
      ),
      audience: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 512,
          description: 'Which service the access token is for',
        }),
      ),
      device_token: Type.Optional(
        Type.String({
          maxLength: 256,
          description: 'From an earlier log-in with "delivery": "body"',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  response: {
    200: Type.Union([tokenAnswerSchema, cookieAnswerSchema]),
    ...problemResponses(400, 401, 403, 409, 413, 415, 429, 503),
  },
}

export const reauthenticateSchema = {
  summary: 'Prove again who I am, in the session of my cookie',
  body: Type.Object(
    { password: Type.String({ minLength: 1, maxLength: maxPasswordLength }) },
    { additionalProperties: false },
  ),
  response: { 200: cookieAnswerSchema, ...problemResponses(400, 401, 403, 413, 415, 429, 503) },
}

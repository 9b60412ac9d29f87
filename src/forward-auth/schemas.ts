import { type Static, Type } from 'typebox'
import { roleSchema } from '../accounts/index.ts'
import { problemResponses } from '../http/errors.ts'

/** No body at all; `null` would be sent as text. */
const empty = (description: string) => Type.Unsafe<undefined>({ type: 'null', description })

const forwardAuthQuery = Type.Object(
  {
    role: Type.Optional(
      Type.Union([roleSchema, Type.Array(roleSchema, { maxItems: 32, uniqueItems: true })], {
        description: 'Only accounts with this role; several: with any of them',
      }),
    ),
    max_age: Type.Optional(
      Type.String({
        pattern: '^[1-9][0-9]{0,8}$',
        description: 'The maximum number of seconds since the user last authenticated',
      }),
    ),
    token: Type.Optional(
      Type.Literal('1', { description: 'Respond with an access token for the upstream' }),
    ),
    email: Type.Optional(
      Type.Literal('1', { description: 'Respond with the e-mail address for the upstream' }),
    ),
    audience: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 512,
        description: 'The audience that a bearer token must have',
      }),
    ),
    login: Type.Optional(
      Type.Literal('redirect', { description: 'Send people who want a page to the login page' }),
    ),
  },
  { additionalProperties: false },
)

export type ForwardAuthQuery = Static<typeof forwardAuthQuery>

export const forwardAuthSchema = {
  summary: 'Whether a request that a proxy holds may pass, and as which user',
  querystring: forwardAuthQuery,
  response: {
    200: empty('It may pass; the headers X-Auth-* name the user'),
    302: empty('To the login page'),
    ...problemResponses(400, 401, 403, 503),
  },
}

const page = (description: string) => ({
  description,
  content: { 'text/html': { schema: Type.String() } },
})

export const loginPageSchema = {
  summary: 'The login page, for browsers',
  // Other parameters of a link are ignored.
  querystring: Type.Object({
    return: Type.Optional(Type.Unknown({ description: 'A signed return address' })),
  }),
  response: {
    200: page('The form'),
    303: empty('Logged in already: to the return address'),
    400: page('The form, and what is wrong'),
    403: page('That the page works over HTTPS only'),
    ...problemResponses(405),
    503: page('The form, and what is wrong'),
  },
}

export const loginFormSchema = {
  summary: 'Log in with the form of the login page',
  consumes: ['application/x-www-form-urlencoded'],
  // Without length limits: the handler explains what is too long. A body has at most 8 KiB.
  body: Type.Object(
    {
      email: Type.Optional(Type.String()),
      password: Type.Optional(Type.String()),
      form: Type.Optional(Type.String({ description: 'From the page, with its cookie' })),
      return: Type.Optional(Type.String({ description: 'A signed return address' })),
      persist: Type.Optional(
        Type.Literal('yes', { description: 'Keep the session when the browser is closed' }),
      ),
    },
    { additionalProperties: false },
  ),
  response: {
    303: empty('Logged in: to the return address'),
    400: page('The form, and what is wrong'),
    401: page('The form, and what is wrong'),
    403: page('A new form; or, for a form of another site, a link to the page'),
    413: page('A new form'),
    415: page('A new form'),
    429: page('The form, and how long to wait'),
    503: page('The form, and what is wrong'),
  },
}

/** Other parameters of a link are ignored. */
const wayBack = Type.Object({
  return: Type.Optional(
    Type.Unknown({ description: 'The page of an app to come back to, signed or as text' }),
  ),
})

export const logoutPageSchema = {
  summary: 'The logout page, for browsers',
  querystring: wayBack,
  response: {
    200: page('The form; or, without a session, that no user is logged in'),
    400: page('The form, and what is wrong'),
    403: page('That the page works over HTTPS only'),
    ...problemResponses(405),
  },
}

export const logoutFormSchema = {
  summary: 'Log out with the form of the logout page',
  consumes: ['application/x-www-form-urlencoded'],
  body: Type.Object(
    {
      form: Type.Optional(Type.String({ description: 'From the page, with its cookie' })),
      return: Type.Optional(Type.String({ description: 'A signed return address' })),
    },
    { additionalProperties: false },
  ),
  response: {
    303: empty('Logged out: to the logout page, which says so'),
    400: page('A new form'),
    403: page('A new form; or, for a form of another site, a link to the page'),
    413: page('A new form'),
    415: page('A new form'),
    503: page('A new form: it is unknown whether the session has ended'),
  },
}

export const homePageSchema = {
  summary: 'Who is logged in, for browsers',
  querystring: wayBack,
  response: {
    200: page('Who is logged in, with links to the app and to log out; or a link to log in'),
    400: page('What is wrong'),
    ...problemResponses(404),
    503: page('What is wrong'),
  },
}

export type LoginForm = Static<typeof loginFormSchema.body>

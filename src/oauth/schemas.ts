import { type Static, Type } from 'typebox'
import { oauthErrorResponses } from '../http/oauth-errors.ts'

export const metadata = Type.Object({
  issuer: Type.String({ description: 'The `iss` of every token, byte for byte' }),
  jwks_uri: Type.String(),
  response_types_supported: Type.Array(Type.String()),
  grant_types_supported: Type.Array(Type.String()),
  token_endpoint: Type.String(),
  token_endpoint_auth_methods_supported: Type.Array(Type.String()),
  revocation_endpoint: Type.String(),
  revocation_endpoint_auth_methods_supported: Type.Array(Type.String()),
  introspection_endpoint: Type.String(),
  introspection_endpoint_auth_methods_supported: Type.Array(Type.String()),
  id_token_signing_alg_values_supported: Type.Array(Type.String(), {
    description: 'What access tokens may be signed with: the `alg` of the published keys',
  }),
})

export type Metadata = Static<typeof metadata>

export const metadataSchema = {
  summary: 'Authorization server metadata (RFC 8414)',
  response: { 200: metadata },
}

/** RFC 6749 appendix A: the allowed characters. The body limit bounds the length. */
const visibleText = Type.String({ pattern: '^[\\x20-\\x7e]+$' })

/** Client credentials in the form instead of the header. An assertion is refused. */
const bodyCredentials = {
  client_id: Type.Optional(visibleText),
  client_secret: Type.Optional(
    Type.String({ ...visibleText, description: 'Of a service client: `client_secret_post`' }),
  ),
  client_assertion: Type.Optional(visibleText),
}

const form = { consumes: ['application/x-www-form-urlencoded'] }

/**
 * Unlike unknown JSON members elsewhere, unknown parameters are ignored: RFC 6749 section 3.2 requires it, and existing clients send some,
 * such as `client_id`.
 */
const introspectBody = Type.Object({
  token: Type.String({ ...visibleText, description: 'The access token in question' }),
  token_type_hint: Type.Optional(
    Type.String({ ...visibleText, description: 'Accepted and not needed (RFC 7662 section 2.1)' }),
  ),
  ...bodyCredentials,
})

const seconds = Type.Integer({ description: 'Seconds since the Unix epoch' })
const texts = Type.Array(Type.String())

/** RFC 7662 section 2.2, and Cardea's `sid` and `aep`. */
const activeToken = Type.Object({
  active: Type.Literal(true),
  token_type: Type.Literal('Bearer'),
  iss: Type.String(),
  sub: Type.String(),
  aud: Type.Union([Type.String(), texts]),
  client_id: Type.String(),
  iat: seconds,
  exp: seconds,
  jti: Type.String(),
  sid: Type.String(),
  scope: Type.String(),
  roles: texts,
  auth_time: seconds,
  acr: Type.String(),
  amr: texts,
  aep: Type.Tuple([Type.Integer(), Type.Integer(), Type.Integer()]),
})

export type ActiveToken = Static<typeof activeToken>

export const introspectSchema = {
  summary: 'Whether an access token is active (RFC 7662)',
  ...form,
  body: introspectBody,
  response: {
    200: Type.Union([activeToken, Type.Object({ active: Type.Literal(false) })]),
    ...oauthErrorResponses(400, 401, 403, 413, 415, 503),
  },
}

/** Routes that public clients may also call without credentials. */
const security = [{ serviceClient: [] }, {}]

const tokenResponse = Type.Object({
  access_token: Type.String({ description: 'A JWT of type at+jwt (RFC 9068)' }),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds' }),
  scope: Type.Optional(Type.String({ description: 'What was granted; left out when it is empty' })),
  refresh_token: Type.Optional(Type.String({ description: 'Only for `refresh_token`' })),
})

export type OauthTokenResponse = Static<typeof tokenResponse>

const tokenBody = Type.Object({
  grant_type: Type.String({
    ...visibleText,
    description: '`client_credentials` or `refresh_token`',
  }),
  ...bodyCredentials,
  scope: Type.Optional(Type.String({ description: 'Separated by single spaces' })),
  resource: Type.Optional(visibleText),
  audience: Type.Optional(visibleText),
  refresh_token: Type.Optional(visibleText),
})

export type TokenBody = Static<typeof tokenBody>

export const tokenSchema = {
  ...form,
  security,
  summary: 'An access token for a service client, or for a refresh token (RFC 6749)',
  body: tokenBody,
  response: { 200: tokenResponse, ...oauthErrorResponses(400, 401, 403, 413, 415, 503) },
}

export const revokeTokenSchema = {
  ...form,
  security,
  summary: 'Revoke an access token or a refresh token of mine (RFC 7009)',
  body: Type.Object({
    token: visibleText,
    token_type_hint: Type.Optional(visibleText),
    ...bodyCredentials,
  }),
  response: {
    200: Type.Object({}, { description: 'It is not valid' }),
    ...oauthErrorResponses(400, 401, 403, 413, 415, 429, 503),
  },
}

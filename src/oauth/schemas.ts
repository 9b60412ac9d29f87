import { type Static, Type } from 'typebox'
import { oauthErrorResponses } from '../http/oauth-errors.ts'

export const metadata = Type.Object({
  issuer: Type.String({ description: 'The `iss` of every token, byte for byte' }),
  jwks_uri: Type.String(),
  response_types_supported: Type.Array(Type.String()),
  grant_types_supported: Type.Array(Type.String()),
  introspection_endpoint: Type.String(),
  introspection_endpoint_auth_methods_supported: Type.Array(Type.String()),
})

export type Metadata = Static<typeof metadata>

export const metadataSchema = {
  summary: 'Authorization server metadata (RFC 8414)',
  response: { 200: metadata },
}

/** RFC 6749 appendix A.12: what a token may consist of. The body's limit bounds its length. */
const visibleText = Type.String({ pattern: '^[\\x20-\\x7e]+$' })

/**
 * Parameters that are not known are ignored, unlike members of JSON everywhere else: RFC 6749 section 3.2 demands it, and clients in
 * use send some, such as `client_id`.
 */
const introspectBody = Type.Object({
  token: Type.String({ ...visibleText, description: 'The access token in question' }),
  token_type_hint: Type.Optional(
    Type.String({ ...visibleText, description: 'Accepted and not needed (RFC 7662 section 2.1)' }),
  ),
  client_secret: Type.Optional(visibleText),
  client_assertion: Type.Optional(visibleText),
})

const seconds = Type.Integer({ description: 'Seconds since the Unix epoch' })
const texts = Type.Array(Type.String())

/** RFC 7662 section 2.2, and our `sid` and `aep`. */
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
  summary: 'Whether an access token is good at this moment (RFC 7662)',
  consumes: ['application/x-www-form-urlencoded'],
  body: introspectBody,
  response: {
    200: Type.Union([activeToken, Type.Object({ active: Type.Literal(false) })]),
    ...oauthErrorResponses(400, 401, 403, 413, 415, 503),
  },
}

import { VerifierError } from '../errors.ts'

/** RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1). */
const bearer = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i

/** Any use of the Bearer scheme, well-formed or not. With `Basic …` no token was sent. */
const triesBearer = /^Bearer(?: |$)/i

/**
 * The access token of a request, from its `Authorization` fields only. A token in a query ends up in logs, and another page could put one
 * into a form (RFC 9700 section 4.3.2).
 *
 * @param fields every `Authorization` field of the request. Two are refused, because a proxy may have used the other one.
 * @throws {VerifierError} `token_missing`, or `token_invalid` for a malformed bearer token. The verifier refuses tokens that are too long.
 */
export const bearerToken = (fields: readonly string[]): string => {
  const [field, second] = fields
  if (second !== undefined) {
    throw new VerifierError('token_invalid', { cause: new Error('several Authorization fields') })
  }
  if (field === undefined || !triesBearer.test(field)) throw new VerifierError('token_missing')
  const token = bearer.exec(field)?.[1]
  if (token === undefined) {
    throw new VerifierError('token_invalid', { cause: new Error('no bearer token in the field') })
  }
  return token
}

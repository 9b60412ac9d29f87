import { VerifierError } from '../errors.ts'

/** RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1). */
const bearer = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i

/** Any attempt at the scheme, right or not: `Basic …` is none, and then no token was sent. */
const triesBearer = /^Bearer(?: |$)/i

/**
 * The access token of a request, from its `Authorization` fields and from nowhere else: a token in the query ends up in logs, one
 * in a form can be planted by a page (RFC 9700 section 4.3.2).
 *
 * @param fields every `Authorization` field of the request. Two are refused: whoever stands before us may have looked at the other.
 * @throws {VerifierError} `token_missing`, or `token_invalid` for what is no bearer token. The verifier refuses those that are too long.
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

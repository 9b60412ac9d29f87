import { accountScope, adminScope } from '../sessions/index.ts'

/** RFC 6749 section 3.3: printable ASCII without space, quote and backslash. The length is ours: a token must fit into a header. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/

const mostScopes = 32

/** What opens this service's own routes to people. A service that had one would be taken for somebody signed in. */
const reserved: readonly string[] = [accountScope, adminScope]

/** The tokens of a `scope` parameter, each once; nothing when it is not written as RFC 6749 says. */
export const parseScope = (text: string): readonly string[] | undefined => {
  const tokens = text.split(' ')
  return tokens.every((token) => scopeToken.test(token)) ? [...new Set(tokens)] : undefined
}

/** Whether a service client may be given these. */
export const areClientScopes = (scopes: readonly string[]): boolean =>
  scopes.length <= mostScopes &&
  scopes.every((scope) => scopeToken.test(scope) && !reserved.includes(scope))

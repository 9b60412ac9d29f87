import { VerifierError } from '../errors.ts'
import type { AccessTokenClaims } from '../tokens/access-token-claims.ts'
import type { VerifyOptions } from './options.ts'

/** A list with a text in its place would be asked letter by letter. */
const readList = (list: readonly string[] | undefined, name: string): readonly string[] => {
  if (list !== undefined && !Array.isArray(list)) throw new TypeError(`${name} must be a list`)
  return list ?? []
}

/**
 * All of the roles and all of the scopes.
 *
 * @throws {VerifierError} `insufficient_role` or `insufficient_scope`
 */
export const checkRights = (claims: AccessTokenClaims, options: VerifyOptions): void => {
  const role = readList(options.roles, 'roles').find((wanted) => !claims.roles.includes(wanted))
  if (role !== undefined) {
    throw new VerifierError('insufficient_role', { cause: new Error(`role ${role} is missing`) })
  }
  const scopes = readList(options.scopes, 'scopes')
  if (scopes.length === 0) return
  const granted = claims.scope.split(' ')
  const scope = scopes.find((wanted) => !granted.includes(wanted))
  if (scope !== undefined) {
    throw new VerifierError('insufficient_scope', { cause: new Error(`scope ${scope} is missing`) })
  }
}

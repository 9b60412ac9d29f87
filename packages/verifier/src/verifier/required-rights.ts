import { VerifierError } from '../errors.ts'
import type { AccessTokenClaims } from '../tokens/access-token-claims.ts'
import type { VerifyOptions } from './options.ts'

/** A string in place of a list would be read letter by letter. */
const readList = (list: readonly string[] | undefined, name: string): readonly string[] => {
  if (list !== undefined && !Array.isArray(list)) throw new TypeError(`${name} must be a list`)
  return list ?? []
}

/** @throws {TypeError} for anything but a number of seconds: compared with anything else, every login would be recent enough */
export const checkAuthAge = (seconds: number | undefined): void => {
  if (seconds !== undefined && !(Number.isSafeInteger(seconds) && seconds > 0)) {
    throw new TypeError('maxAuthAgeSeconds must be a whole number of seconds, at least 1')
  }
}

const checkScopes = ({ scope: held }: AccessTokenClaims, scopes: readonly string[]): void => {
  if (scopes.length === 0) return
  const granted = held.split(' ')
  const scope = scopes.find((wanted) => !granted.includes(wanted))
  if (scope !== undefined) {
    throw new VerifierError('insufficient_scope', { cause: new Error(`scope ${scope} is missing`) })
  }
}

/** Rights that a new login cannot add are checked first, so that a user without a role is not asked for a password in vain. */
const checkRecent = (
  { auth_time: provedAt }: AccessTokenClaims,
  maxAgeSeconds: number | undefined,
  nowMs: number,
): void => {
  if (maxAgeSeconds === undefined) return
  const ageSeconds = Math.floor(nowMs / 1000) - provedAt
  if (ageSeconds <= maxAgeSeconds) return
  throw new VerifierError('authentication_too_old', {
    cause: new Error(`authenticated ${ageSeconds} s ago`),
  })
}

/**
 * Requires all of the roles, all of the scopes, and a recent enough login.
 *
 * @throws {VerifierError} `insufficient_role`, `insufficient_scope` or `authentication_too_old`
 */
export const checkRights = (
  claims: AccessTokenClaims,
  options: VerifyOptions,
  nowMs: number,
): void => {
  const role = readList(options.roles, 'roles').find((wanted) => !claims.roles.includes(wanted))
  if (role !== undefined) {
    throw new VerifierError('insufficient_role', { cause: new Error(`role ${role} is missing`) })
  }
  checkScopes(claims, readList(options.scopes, 'scopes'))
  checkRecent(claims, options.maxAuthAgeSeconds, nowMs)
}

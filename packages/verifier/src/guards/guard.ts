import type { AccessTokenClaims } from '../tokens/access-token-claims.ts'
import type { VerifyOptions } from '../verifier/options.ts'
import { checkPolicy } from '../verifier/read-options.ts'
import type { Verifier } from '../verifier/verifier.ts'
import { bearerToken } from './bearer-token.ts'
import { type ChallengeOptions, type Refusal, refusalOf } from './refusal.ts'

/** The part of a verifier that a guard uses; also the shape of a stand-in in your tests. */
export type TokenVerifier = Pick<Verifier, 'verify'>

/** How a guard presents itself, the same for all routes. */
export type GuardOptions = {
  /** The `realm` of the challenge: what is protected, for people. Printable ASCII without `"` and `\`; default `api`. */
  readonly realm?: string
}

/** What a guard found: the claims of a good token, or how to refuse. */
export type Verdict =
  | { readonly claims: AccessTokenClaims; readonly refusal?: never }
  | { readonly refusal: Refusal; readonly claims?: never }

/** Looks at the `Authorization` fields of one request. Never rejects: what goes wrong is a refusal. */
export type Guard = (fields: readonly string[]) => Promise<Verdict>

/** RFC 6749 section 3.3: what a scope is made of. Nothing else, a quote or a line break say, gets into the challenge. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const realmText = /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''

const requireNames = (
  what: 'roles' | 'scopes',
  names: readonly string[] | undefined,
  isName: (name: string) => boolean,
): readonly string[] => {
  if (names === undefined) return []
  // A plain text is iterable, too: `roles: 'admin'` would ask for the roles a, d, m, i and n.
  if (!Array.isArray(names) || !names.every(isName)) {
    throw new TypeError(`${what} must be an array of names`)
  }
  return names
}

const knownMembers = new Set(['policy', 'roles', 'scopes'])

/**
 * Makes the check of one route. Wrong use is found here, when the service starts, and not by the first request.
 *
 * @throws {TypeError} for a realm or requirements that cannot be, and for members that do not exist: a misspelt `role` would
 *   otherwise leave the route open to everyone who is signed in
 */
export const createGuard = (
  verifier: TokenVerifier,
  options: GuardOptions,
  requirements: VerifyOptions = {},
): Guard => {
  const unknown = Object.keys(requirements).find((name) => !knownMembers.has(name))
  if (unknown !== undefined) throw new TypeError(`a route cannot ask for ${unknown}`)
  const { policy } = requirements
  if (policy !== undefined) checkPolicy(policy)
  const scopes = requireNames('scopes', requirements.scopes, (name) => scopeToken.test(name))
  const roles = requireNames('roles', requirements.roles, isText)
  const { realm = 'api' } = options
  if (!realmText.test(realm)) throw new TypeError('realm must be printable ASCII without quotes')

  const challenge: ChallengeOptions = { realm, scopes }
  // A copy: what the caller does to its arrays later changes no route.
  const asked: VerifyOptions = {
    roles: [...roles],
    scopes: [...scopes],
    ...(policy !== undefined && { policy }),
  }
  return async (fields) => {
    try {
      return { claims: await verifier.verify(bearerToken(fields), asked) }
    } catch (error) {
      return { refusal: refusalOf(error, challenge) }
    }
  }
}

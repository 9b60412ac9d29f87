import { type Names, refuseUnknown } from '../known-members.ts'
import type { AccessTokenClaims } from '../tokens/access-token-claims.ts'
import { type VerifyOptions, verifyOptionNames } from '../verifier/options.ts'
import { checkPolicy } from '../verifier/read-options.ts'
import { checkAuthAge } from '../verifier/required-rights.ts'
import type { Verifier } from '../verifier/verifier.ts'
import { isPageOrigin } from '../wire/browser-requests.ts'
import { bearerToken } from './bearer-token.ts'
import type { Presented } from './presented.ts'
import { type ChallengeOptions, type Refusal, refusalOf } from './refusal.ts'
import { refuseForeignPage, sealedCookie } from './sealed-cookie.ts'

/** The part of a verifier that a guard uses. Implement it for a fake in your tests. */
export type TokenVerifier = Pick<Verifier, 'verify'> &
  Partial<Pick<Verifier, 'openSealed' | 'opensSealed'>>

/** Options for all guards of a verifier. */
export type GuardOptions = {
  /** The `realm` of the challenge: what is protected, for people. Printable ASCII without `"` and `\`; default `api`. */
  readonly realm?: string
  /**
   * The credential of a request: an access token in `Authorization`, or the cookie of a sealed session. The other one is never read.
   * Default `bearer`; `sealed-cookie` needs a verifier with `sealed`.
   */
  readonly credential?: 'bearer' | 'sealed-cookie'
  /**
   * With `sealed-cookie`: the origins, such as `https://app.example.com`, whose pages may send unsafe requests. Include the app's own
   * origin, for browsers that do not send `Sec-Fetch-Site`. Pages of another site are refused even if they are listed. Default: none.
   */
  readonly allowedOrigins?: readonly string[]
}

export const guardOptionNames: Names<GuardOptions> = {
  realm: true,
  credential: true,
  allowedOrigins: true,
}

/** The result of a guard: the claims of a valid token, or the refusal. */
export type Verdict =
  | { readonly claims: AccessTokenClaims; readonly refusal?: never }
  | { readonly refusal: Refusal; readonly claims?: never }

/** Checks the credential of one request. Never rejects: an error becomes a refusal. */
export type Guard = (request: Presented) => Promise<Verdict>

/** RFC 6749 section 3.3: the characters of a scope. Nothing else, such as a quote or a line break, may get into the challenge. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const realmText = /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''

const requireNames = (
  what: 'roles' | 'scopes',
  names: readonly string[] | undefined,
  isName: (name: string) => boolean,
): readonly string[] => {
  if (names === undefined) return []
  // A string is iterable, too: `roles: 'admin'` would require the roles a, d, m, i and n.
  if (!Array.isArray(names) || !names.every(isName)) {
    throw new TypeError(`${what} must be an array of names`)
  }
  return names
}

const isOrigin = (value: unknown): boolean => typeof value === 'string' && isPageOrigin(value)

/** How the claims of a request are found. @throws {TypeError} for invalid options */
const createFinder = (
  verifier: TokenVerifier,
  { credential = 'bearer', allowedOrigins = [] }: GuardOptions,
) => {
  if (!Array.isArray(allowedOrigins) || !allowedOrigins.every(isOrigin)) {
    throw new TypeError('allowedOrigins must be origins, as https://app.example.com')
  }
  if (credential === 'bearer') {
    return (request: Presented, requirements: VerifyOptions) =>
      verifier.verify(bearerToken(request.authorization), requirements)
  }
  if (credential !== 'sealed-cookie') {
    throw new TypeError("credential must be 'bearer' or 'sealed-cookie'")
  }
  const { openSealed, opensSealed } = verifier
  if (openSealed === undefined || opensSealed !== true) {
    throw new TypeError('guards of sealed cookies need a verifier with the option sealed')
  }
  const origins = new Set(allowedOrigins)
  return (request: Presented, requirements: VerifyOptions) => {
    const sealed = sealedCookie(request.cookie)
    refuseForeignPage(request, origins)
    return openSealed(sealed, requirements)
  }
}

/**
 * Makes the check of one route. Mistakes are found here, when the service starts, and not by the first request.
 *
 * @throws {TypeError} for invalid options or requirements, and for unknown members
 */
export const createGuard = (
  verifier: TokenVerifier,
  options: GuardOptions,
  requirements: VerifyOptions = {},
): Guard => {
  if (typeof verifier?.verify !== 'function') {
    throw new TypeError('cardea takes a verifier: what createVerifier returns')
  }
  refuseUnknown('protect', requirements, verifyOptionNames)
  const { policy, maxAuthAgeSeconds } = requirements
  if (policy !== undefined) checkPolicy(policy)
  checkAuthAge(maxAuthAgeSeconds)
  const scopes = requireNames('scopes', requirements.scopes, (name) => scopeToken.test(name))
  const roles = requireNames('roles', requirements.roles, isText)
  const { realm = 'api' } = options
  if (!realmText.test(realm)) throw new TypeError('realm must be printable ASCII without quotes')

  const find = createFinder(verifier, options)
  const challenge: ChallengeOptions = {
    realm,
    scopes,
    maxAuthAgeSeconds,
    // A cookie is not an HTTP authentication scheme, so there is no challenge.
    challenges: options.credential !== 'sealed-cookie',
  }
  // Copied, so that later changes of the caller's arrays change no route.
  const copied: VerifyOptions = {
    roles: [...roles],
    scopes: [...scopes],
    ...(policy !== undefined && { policy }),
    ...(maxAuthAgeSeconds !== undefined && { maxAuthAgeSeconds }),
  }
  return async (request) => {
    try {
      return { claims: await find(request, copied) }
    } catch (error) {
      return { refusal: refusalOf(error, challenge) }
    }
  }
}

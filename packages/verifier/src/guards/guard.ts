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

/** The part of a verifier that a guard uses; also the shape of a stand-in in your tests. */
export type TokenVerifier = Pick<Verifier, 'verify'> &
  Partial<Pick<Verifier, 'openSealed' | 'opensSealed'>>

/** How a guard presents itself, the same for all routes. */
export type GuardOptions = {
  /** The `realm` of the challenge: what is protected, for people. Printable ASCII without `"` and `\`; default `api`. */
  readonly realm?: string
  /**
   * What a request must bring: an access token in `Authorization`, or the cookie of a sealed session. Only one of them is ever looked
   * at. Default `bearer`; `sealed-cookie` needs a verifier with `sealed`.
   */
  readonly credential?: 'bearer' | 'sealed-cookie'
  /**
   * With `sealed-cookie`: the origins, as `https://app.example.com`, whose pages may send requests that change something. Name the app's
   * own too, for browsers that do not send `Sec-Fetch-Site`. A page of another site may not, listed or not. Default none.
   */
  readonly allowedOrigins?: readonly string[]
}

export const guardOptionNames: Names<GuardOptions> = {
  realm: true,
  credential: true,
  allowedOrigins: true,
}

/** What a guard found: the claims of a good token, or how to refuse. */
export type Verdict =
  | { readonly claims: AccessTokenClaims; readonly refusal?: never }
  | { readonly refusal: Refusal; readonly claims?: never }

/** Looks at the credential of one request. Never rejects: what goes wrong is a refusal. */
export type Guard = (request: Presented) => Promise<Verdict>

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

const isOrigin = (value: unknown): boolean => typeof value === 'string' && isPageOrigin(value)

/** How the claims of a request are found. @throws {TypeError} for what cannot be */
const createFinder = (
  verifier: TokenVerifier,
  { credential = 'bearer', allowedOrigins = [] }: GuardOptions,
) => {
  if (!Array.isArray(allowedOrigins) || !allowedOrigins.every(isOrigin)) {
    throw new TypeError('allowedOrigins must be origins, as https://app.example.com')
  }
  if (credential === 'bearer') {
    return (request: Presented, asked: VerifyOptions) =>
      verifier.verify(bearerToken(request.authorization), asked)
  }
  if (credential !== 'sealed-cookie') {
    throw new TypeError("credential must be 'bearer' or 'sealed-cookie'")
  }
  const { openSealed, opensSealed } = verifier
  if (openSealed === undefined || opensSealed !== true) {
    throw new TypeError('guards of sealed cookies need a verifier with the option sealed')
  }
  const origins = new Set(allowedOrigins)
  return (request: Presented, asked: VerifyOptions) => {
    const sealed = sealedCookie(request.cookie)
    refuseForeignPage(request, origins)
    return openSealed(sealed, asked)
  }
}

/**
 * Makes the check of one route. Wrong use is found here, when the service starts, and not by the first request.
 *
 * @throws {TypeError} for options or requirements that cannot be, and for members that do not exist
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
    // A cookie is no HTTP authentication: there is nothing that a client could answer to a challenge.
    challenges: options.credential !== 'sealed-cookie',
  }
  // A copy: what the caller does to its arrays later changes no route.
  const asked: VerifyOptions = {
    roles: [...roles],
    scopes: [...scopes],
    ...(policy !== undefined && { policy }),
    ...(maxAuthAgeSeconds !== undefined && { maxAuthAgeSeconds }),
  }
  return async (request) => {
    try {
      return { claims: await find(request, asked) }
    } catch (error) {
      return { refusal: refusalOf(error, challenge) }
    }
  }
}

import type { Signer } from '../keys/index.ts'
import type { Clock } from '../lib/clock.ts'
import { newId } from '../lib/id.ts'
import type { Random } from '../lib/random.ts'
import { longestTokenSeconds } from '../lib/token-times.ts'
import { buildClaims, type TokenSubject } from './claims.ts'
import { jwsHeader, signJws } from './sign-jws.ts'

/** RFC 9068 section 2.1. Keeps a token of another kind from passing as one of these, and the other way round. */
const accessTokenType = 'at+jwt'

type Dependencies = {
  readonly signer: () => Signer
  readonly issuer: string
  /** From 1 to `longestTokenSeconds`. */
  readonly accessTokenSeconds: number
  readonly clock: Clock
  readonly random: Random
}

export type MintedToken = {
  readonly token: string
  /** For `expires_in`: what is left, which is less than a whole life when signing was late. */
  readonly expiresInSeconds: number
  /** The `jti`. */
  readonly tokenId: string
}

export type MintAccessToken = (subject: TokenSubject) => MintedToken

const between = (least: number, wanted: number, most: number): number =>
  Math.min(most, Math.max(least, wanted))

/** Synchronous: about 30 µs of CPU with ES256. Throws a TypeError at once for a lifetime that verifiers would refuse. */
export const mintAccessToken = (deps: Dependencies): MintAccessToken => {
  const { accessTokenSeconds: lifetimeSeconds, issuer } = deps
  const isAllowed =
    Number.isInteger(lifetimeSeconds) &&
    lifetimeSeconds >= 1 &&
    lifetimeSeconds <= longestTokenSeconds
  if (!isAllowed) throw new TypeError(`access tokens live 1 to ${longestTokenSeconds} seconds`)
  let last: { readonly signer: Signer; readonly header: string } | undefined
  const headerOf = (signer: Signer): string => {
    if (last?.signer !== signer) last = { signer, header: jwsHeader(signer, accessTokenType) }
    return last.header
  }
  return (subject) => {
    const tokenId = newId(deps.random)
    const claims = buildClaims(subject, { issuer, tokenId, lifetimeSeconds })
    const signer = deps.signer()
    const token = signJws(signer, headerOf(signer), claims)
    const leftSeconds = claims.exp - Math.floor(deps.clock.nowMs() / 1000)
    return { token, expiresInSeconds: between(0, leftSeconds, lifetimeSeconds), tokenId }
  }
}

import type { AccessTokenClaims } from '../../src/index.ts'
import type { RevocationEntry } from '../../src/wire.ts'
import { audience } from '../tokens/signed-tokens.ts'
import { client, startToyCardea, tokenOf } from '../verifier/toy-cardea.ts'

/** What a token says unless a test says otherwise; `null` leaves a claim out. */
type ClaimChanges = { readonly [Name in keyof AccessTokenClaims]?: unknown }

export type TestIssuer = Awaited<ReturnType<typeof startIssuer>>

/** The toy Cardea as the adapters need it; it ends with the test. */
export const startIssuer = async () => {
  const cardea = await startToyCardea()
  const { toy, url } = cardea
  return {
    /** The `iss`, and where it is reached. */
    url,
    audience,
    client,
    token: async (claims: ClaimChanges = {}): Promise<string> => {
      const now = Math.floor(Date.now() / 1000)
      const changes = { client_id: 'web', auth_time: now, scope: '', roles: [], ...claims }
      const kept = Object.entries(changes).map(([name, value]) => [name, value ?? undefined])
      return tokenOf(cardea, Object.fromEntries(kept)).token
    },
    /** Puts entries into the log; those who wait for news are answered at once. */
    revoke: (...entries: readonly RevocationEntry[]) => void toy.feed.log.push(...entries),
    /** From now on nothing is answered but with 503. */
    goAway: () => {
      toy.mode = 'down'
      toy.introspection = { status: 503 }
      cardea.cutAll()
    },
  }
}

import type { Clock } from '../lib/clock.ts'
import type { MintAccessToken, MintedToken } from '../tokens/index.ts'
import type { ClientProofs, ServiceCredentials } from './client-proofs.ts'
import { oauthErrors } from './errors.ts'
import { parseScope } from './scopes.ts'
import type { ClientRights, ServiceClientStore } from './service-client-store.ts'

export type GrantClientCredentialsDeps = {
  readonly clock: Pick<Clock, 'nowMs'>
  readonly clients: Pick<ServiceClientStore, 'rights'>
  readonly proofs: ClientProofs
  readonly mint: MintAccessToken
  /** For whom this issuer mints tokens; a client's own list may be older than the settings. */
  readonly audiences: readonly string[]
}

export type ClientCredentialsInput = {
  readonly credentials: ServiceCredentials
  /** As it was sent; all that the client has if it was not. */
  readonly scope: string | undefined
  /** The client's default if there is none. */
  readonly audience: string | undefined
}

export type ClientToken = MintedToken & { readonly clientId: string; readonly scope: string }

/**
 * What `auth_time`, `amr` and `acr` say of a service, which the claims of a token must have: nobody ever proved to be a person. Whoever
 * demands a recent sign-in or a level of one (`0` is below all, OpenID Connect Core section 2) refuses it by that alone.
 */
const noPerson = { authenticatedAtMs: 0, amr: [], acr: '0', roles: [] } as const

const grantedScope = (asked: string | undefined, { scopes }: ClientRights): string => {
  const wanted = asked === undefined ? scopes : parseScope(asked)
  if (!wanted?.every((scope) => scopes.includes(scope))) throw oauthErrors.error('invalid_scope')
  return wanted.join(' ')
}

const grantedAudience = (
  asked: string | undefined,
  { audiences }: ClientRights,
  known: readonly string[],
): string => {
  const [preferred] = audiences
  if (preferred === undefined) throw oauthErrors.error('unauthorized_client')
  const audience = asked ?? preferred
  if (!audiences.includes(audience) || !known.includes(audience)) {
    throw oauthErrors.error('invalid_target')
  }
  return audience
}

/**
 * An access token for a service itself (RFC 6749 section 4.4). One statement authenticates the client and reads what it may ask for and
 * the epochs, shared by those who ask at the same time, and nothing here is remembered: a secret that was revoked and a client that was disabled get no token from the commit on,
 * and a token that was being made at that moment is condemned by the epoch it carries.
 *
 * @returns nothing when these are not the credentials of a client that may call
 * @throws invalid_scope, invalid_target, unauthorized_client, store_unavailable
 */
export const grantClientCredentials = ({
  clock,
  clients,
  proofs,
  mint,
  audiences: known,
}: GrantClientCredentialsDeps) => {
  const prove = proofs({ read: clients.rights, digestsOf: (rights) => rights?.digests ?? [] })
  return async (input: ClientCredentialsInput): Promise<ClientToken | undefined> => {
    const { clientId } = input.credentials
    const factsReadAtMs = clock.nowMs()
    const rights = await prove(input.credentials)
    if (rights === undefined) return undefined
    const audience = grantedAudience(input.audience, rights, known)
    const scope = grantedScope(input.scope, rights)
    const minted = mint({
      ...noPerson,
      subjectId: clientId,
      clientId,
      sessionId: undefined,
      audience,
      scope,
      epochs: [rights.globalEpoch, rights.clientEpoch, 0],
      factsReadAtMs,
    })
    return { ...minted, clientId, scope }
  }
}

import { tokenErrors } from '../lib/token-errors.ts'
import { bearerCheck, type CheckBearer } from '../revocation/index.ts'
import { isServiceToken } from '../tokens/index.ts'
import type { Core } from './core.ts'

/**
 * The service's own check of access tokens: those of people and those of services, for every audience that this issuer mints for.
 * Behind the token of a service stands no session but its client.
 */
export const anyBearerCheck = ({
  config,
  machine,
  stores,
  keys,
  revocations,
  serviceClients,
}: Core): CheckBearer =>
  bearerCheck({
    ...machine,
    issuer: config.issuer,
    audiences: [...config.audiences, config.issuer],
    verificationKey: keys.verificationKey,
    replica: revocations.replica,
    stands: (standing) =>
      isServiceToken(standing.claims)
        ? serviceClients.store.stands(standing)
        : stores.sessions.stands(standing),
  })

/** For routes of people: nobody is signed in by a service's token, so whoever shows one there is nobody. */
export const personBearerCheck =
  (check: CheckBearer): CheckBearer =>
  async (token) => {
    const claims = await check(token)
    if (!isServiceToken(claims)) return claims
    throw tokenErrors.error('invalid_token', { cause: new Error('of a service, not of a person') })
  }

import type { Actor, AuditEvent, RequestFacts } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/random.ts'
import type { InTransaction } from '../sessions/index.ts'
import { oauthErrors } from './errors.ts'
import {
  type ClientSecret,
  newServiceClientSecret,
  type ServiceClient,
  secretDigest,
  secretIdOf,
} from './service-client.ts'
import type { ServiceClientStores } from './service-client-work.ts'

export type ClientSecretDeps = {
  readonly clock: Clock
  readonly random: Random
  readonly inTransaction: InTransaction<ServiceClientStores>
}

export type ClientActInput = {
  readonly clientId: string
  readonly actor: Actor
  readonly client?: RequestFacts
}

export type AddedSecret = {
  readonly clientId: string
  readonly secretId: string
  /** Known now and never again: only its digest is kept. */
  readonly clientSecret: string
  readonly createdAtMs: number
}

/** Rolling takes two; whoever needs more has forgotten to revoke some. */
const mostLiveSecrets = 5

const isLive = ({ revokedAtMs }: ClientSecret): boolean => revokedAtMs === undefined

/** The row stays locked to the end, so that two at once cannot add a sixth secret, or revoke the last two. */
const lockClient = async (
  { clients }: ServiceClientStores,
  clientId: string,
): Promise<ServiceClient> => {
  const locked = await clients.lock(clientId)
  if (!locked) throw oauthErrors.error('client_not_found')
  return locked
}

const record = (
  { audit }: ServiceClientStores,
  event: AuditEvent['event'],
  { name, clientId, ownerId }: ServiceClient,
  secretId: string,
  { actor, client }: ClientActInput,
): Promise<void> =>
  audit.record({
    event,
    outcome: 'success',
    actor,
    ...(ownerId && { accountId: ownerId }),
    details: { clientId, name, secretId },
    ...(client && { client }),
  })

/**
 * Adds a secret to a client, which lets it in beside those it has.
 * @throws client_not_found, client_disabled, too_many_client_secrets, store_unavailable
 */
export const addClientSecret =
  ({ clock, random, inTransaction }: ClientSecretDeps) =>
  (input: ClientActInput): Promise<AddedSecret> =>
    inTransaction(async (stores) => {
      const { clientId } = input
      const locked = await lockClient(stores, clientId)
      if (locked.disabledAtMs !== undefined) throw oauthErrors.error('client_disabled')
      const secrets = await stores.clients.secrets(clientId)
      if (secrets.filter(isLive).length >= mostLiveSecrets) {
        throw oauthErrors.error('too_many_client_secrets')
      }
      const clientSecret = newServiceClientSecret(random)
      const digest = secretDigest(clientSecret)
      const secretId = secretIdOf(digest)
      const createdAtMs = clock.nowMs()
      await stores.clients.addSecret(clientId, digest, createdAtMs)
      await record(stores, 'service_client_secret_added', locked, secretId, input)
      return { clientId, secretId, clientSecret, createdAtMs }
    })

/**
 * Revokes one secret. Tokens that the client got with it go on to their end, since rolling a secret must not stop a service;
 * `revoke` with the client as `sub` takes them back. Asking again changes nothing and is not recorded again.
 * @throws client_not_found, client_secret_not_found, last_client_secret, store_unavailable
 */
export const revokeClientSecret =
  ({ clock, inTransaction }: Omit<ClientSecretDeps, 'random'>) =>
  ({ secretId, ...input }: ClientActInput & { readonly secretId: string }): Promise<ClientSecret> =>
    inTransaction(async (stores) => {
      const { clientId } = input
      const locked = await lockClient(stores, clientId)
      const secrets = await stores.clients.secrets(clientId)
      const secret = secrets.find(({ digest }) => secretIdOf(digest) === secretId)
      if (!secret) throw oauthErrors.error('client_secret_not_found')
      if (!isLive(secret)) return secret
      // A client without a secret looks alive and is not; disabling says what is meant, and takes its tokens back as well.
      if (locked.disabledAtMs === undefined && secrets.filter(isLive).length === 1) {
        throw oauthErrors.error('last_client_secret')
      }
      const revokedAtMs = clock.nowMs()
      await stores.clients.revokeSecret(clientId, secret.digest, revokedAtMs)
      await record(stores, 'service_client_secret_revoked', locked, secretId, input)
      return { ...secret, revokedAtMs }
    })

import { type Actor, type AuditEvent, actorText, type RequestFacts } from '../audit/index.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import { type Clock, newId, type Random } from '../lib/machine.ts'
import {
  areClientScopes,
  type ClientSecret,
  isServiceClientName,
  newServiceClientSecret,
  oauthErrors,
  type ServiceClient,
  secretDigest,
  secretIdOf,
} from './service-client.ts'
import type { ServiceClientStores } from './service-client-store.ts'

export type CreateServiceClientDeps = {
  readonly clock: Clock
  readonly random: Random
  readonly inTransaction: InTransaction<ServiceClientStores>
  /** The audiences of this deployment, the default first; at least one. */
  readonly audiences: readonly string[]
}

export type NewServiceClientInput = {
  readonly name: string
  /** Default: none. */
  readonly scopes?: readonly string[]
  /** Default: the first of the deployment. */
  readonly audiences?: readonly string[]
  /** The owning account, with which the client ends. Default: none. */
  readonly ownerId?: string
  readonly actor: Actor
  readonly client?: RequestFacts
}

export type CreatedServiceClient = {
  readonly clientId: string
  /** Only returned now. The store keeps only its digest. */
  readonly clientSecret: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  readonly ownerId?: string
  readonly createdAtMs: number
}

const unique = (texts: readonly string[]): readonly string[] => [...new Set(texts)]

/** @throws invalid_client_name, invalid_client_scope, unknown_client_audience */
const checkInput = (
  { name, scopes, audiences }: NewServiceClientInput,
  known: readonly string[],
): Pick<CreatedServiceClient, 'scopes' | 'audiences'> => {
  if (!isServiceClientName(name)) throw oauthErrors.error('invalid_client_name')
  if (!areClientScopes(scopes ?? [])) throw oauthErrors.error('invalid_client_scope')
  const wanted = audiences ?? known.slice(0, 1)
  if (wanted.length === 0 || !wanted.every((audience) => known.includes(audience))) {
    throw oauthErrors.error('unknown_client_audience')
  }
  return { scopes: unique(scopes ?? []), audiences: unique(wanted) }
}

/** Locks the account too, so that a parallel revocation of it comes before the client or ends it. */
const assertActive = async (
  accounts: ServiceClientStores['accounts'],
  ownerId: string,
): Promise<void> => {
  const owner = await accounts.lock(ownerId)
  if (owner?.status !== 'active') throw oauthErrors.error('invalid_client_owner')
}

/**
 * Adds an enabled service client.
 * @throws invalid_client_name, invalid_client_scope, unknown_client_audience, invalid_client_owner, client_name_taken, store_unavailable
 */
export const createServiceClient =
  ({ clock, random, inTransaction, audiences: known }: CreateServiceClientDeps) =>
  async (input: NewServiceClientInput): Promise<CreatedServiceClient> => {
    const { name, ownerId, actor, client } = input
    const { scopes, audiences } = checkInput(input, known)
    const clientId = newId(random)
    const clientSecret = newServiceClientSecret(random)
    const nowMs = clock.nowMs()
    await inTransaction(async ({ clients, accounts, audit }) => {
      if (ownerId !== undefined) await assertActive(accounts, ownerId)
      const digest = secretDigest(clientSecret)
      const added = await clients.add({
        clientId,
        name,
        scopes,
        audiences,
        ownerId,
        secretDigest: digest,
        nowMs,
      })
      if (!added) throw oauthErrors.error('client_name_taken')
      await audit.record({
        event: 'service_client_created',
        outcome: 'success',
        actor,
        details: { clientId, name, scopes, audiences },
        ...(ownerId && { accountId: ownerId }),
        ...(client && { client }),
      })
    })
    const owned = ownerId === undefined ? {} : { ownerId }
    return { clientId, clientSecret, name, scopes, audiences, ...owned, createdAtMs: nowMs }
  }

export type CreateServiceClient = ReturnType<typeof createServiceClient>

export type DisableServiceClientDeps = {
  readonly clock: Clock
  readonly inTransaction: InTransaction<ServiceClientStores>
}

/**
 * Permanently disables a service client and revokes its tokens. A process that has just accepted it may do so until its cache expires, see
 * `authenticate-service-client.ts`; none issues a token for it. A repeated call changes and records nothing.
 * @throws client_not_found, store_unavailable
 */
export const disableServiceClient =
  ({ clock, inTransaction }: DisableServiceClientDeps) =>
  ({ clientId, actor, client }: ClientActInput): Promise<ServiceClient> =>
    inTransaction(async ({ clients, revocations, audit }) => {
      const before = await clients.lock(clientId)
      if (!before) throw oauthErrors.error('client_not_found')
      if (before.disabledAtMs !== undefined) return before
      const disabledAtMs = clock.nowMs()
      await clients.disable(clientId, disabledAtMs)
      const minEpoch = await clients.raiseEpoch(clientId)
      await revocations.append({
        target: { kind: 'sub', key: clientId, minEpoch },
        actor: actorText(actor),
        reason: 'client_disabled',
      })
      await audit.record({
        event: 'service_client_disabled',
        outcome: 'success',
        actor,
        ...(before.ownerId && { accountId: before.ownerId }),
        details: { clientId, name: before.name },
        ...(client && { client }),
      })
      return { ...before, disabledAtMs }
    })

export type DisableServiceClient = ReturnType<typeof disableServiceClient>

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
  /** Only returned now. The store keeps only its digest. */
  readonly clientSecret: string
  readonly createdAtMs: number
}

/** Rolling a secret needs two. A client with more has secrets that should be revoked. */
const maxLiveSecrets = 5

const isLive = ({ revokedAtMs }: ClientSecret): boolean => revokedAtMs === undefined

/** The row stays locked to the end, so that parallel calls cannot add a sixth secret or revoke the last two. */
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
 * Adds a secret to a client. The others stay valid.
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
      if (secrets.filter(isLive).length >= maxLiveSecrets) {
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

export type AddClientSecret = ReturnType<typeof addClientSecret>

/**
 * Revokes one secret. Tokens that the client got with it stay valid until they expire, because rolling a secret must not stop a service;
 * `revoke` with the client as `sub` revokes them. A repeated call changes and records nothing.
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
      // A client without a secret looks enabled but is unusable. Disabling it is explicit, and revokes its tokens as well.
      if (locked.disabledAtMs === undefined && secrets.filter(isLive).length === 1) {
        throw oauthErrors.error('last_client_secret')
      }
      const revokedAtMs = clock.nowMs()
      await stores.clients.revokeSecret(clientId, secret.digest, revokedAtMs)
      await record(stores, 'service_client_secret_revoked', locked, secretId, input)
      return { ...secret, revokedAtMs }
    })

export type RevokeClientSecret = ReturnType<typeof revokeClientSecret>

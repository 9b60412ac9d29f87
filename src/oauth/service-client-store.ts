import type { OwnedClients } from '../accounts/index.ts'
import type { TokenStanding } from '../revocation/index.ts'
import type { ClientSecret, ServiceClient } from './service-client.ts'

export type NewServiceClient = {
  readonly clientId: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  readonly ownerId?: string | undefined
  readonly secretDigest: Buffer
  readonly nowMs: number
}

/** What a token for a client is made from, all as of one moment. */
export type ClientRights = {
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  readonly globalEpoch: number
  readonly clientEpoch: number
  /** Of the secrets that let it in. */
  readonly digests: readonly Buffer[]
}

export type ServiceClientStore = OwnedClients & {
  /** False when a client that is not disabled has this name; then nothing is written. */
  readonly add: (client: NewServiceClient) => Promise<boolean>
  /** All of them, oldest first; there are as many as there are services. */
  readonly list: () => Promise<ServiceClient[]>
  readonly find: (clientId: string) => Promise<ServiceClient | undefined>
  /** Reads a client and keeps everybody else from changing it until the transaction ends. None: there is no such client. */
  readonly lock: (clientId: string) => Promise<ServiceClient | undefined>
  /** From the commit on the client may not call. One that is disabled already keeps the time it was. */
  readonly disable: (clientId: string, nowMs: number) => Promise<void>
  /** Raises the epoch of a client that the caller has locked: every token issued to it before is dead. Returns the new epoch. */
  readonly raiseEpoch: (clientId: string) => Promise<number>
  /** Digests of the secrets that let this client in: none when it or its owner is disabled or unknown, several while one replaces another. */
  readonly validDigests: (clientId: string) => Promise<Buffer[]>
  /** One statement. None: it is unknown, it or its owner is disabled, or it has no secret. */
  readonly rights: (clientId: string) => Promise<ClientRights | undefined>
  /** All secrets that a client ever had, oldest first. */
  readonly secrets: (clientId: string) => Promise<ClientSecret[]>
  readonly addSecret: (clientId: string, digest: Buffer, nowMs: number) => Promise<void>
  /** One that is revoked already keeps the time it was. */
  readonly revokeSecret: (clientId: string, digest: Buffer, nowMs: number) => Promise<void>
  /** Whether a token that a client was issued for itself is still good: client, epochs, signing key and the token itself. */
  readonly stands: (standing: TokenStanding) => Promise<boolean>
}

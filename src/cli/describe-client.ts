import { type ClientSecret, type ServiceClient, secretIdOf } from '../oauth/index.ts'

export type DescribedClient = {
  readonly client_id: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  readonly created_at: string
  readonly disabled_at?: string
}

/** A service client as commands show it; of its secrets there is nothing to show. */
export const describeClient = (client: ServiceClient): DescribedClient => ({
  client_id: client.clientId,
  name: client.name,
  scopes: client.scopes,
  audiences: client.audiences,
  created_at: new Date(client.createdAtMs).toISOString(),
  ...(client.disabledAtMs !== undefined && {
    disabled_at: new Date(client.disabledAtMs).toISOString(),
  }),
})

type DescribedSecret = {
  readonly secret_id: string
  readonly created_at: string
  readonly revoked_at?: string
}

/** One of its secrets: when, and by which id it is revoked. */
export const describeClientSecret = (secret: ClientSecret): DescribedSecret => ({
  secret_id: secretIdOf(secret.digest),
  created_at: new Date(secret.createdAtMs).toISOString(),
  ...(secret.revokedAtMs !== undefined && {
    revoked_at: new Date(secret.revokedAtMs).toISOString(),
  }),
})

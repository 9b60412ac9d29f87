import { type ClientSecret, type ServiceClient, secretIdOf } from './service-client.ts'

const time = (ms: number): string => new Date(ms).toISOString()

/** A service client as operators see it, over HTTP and on the command line; of its secrets there is nothing to show. */
export const describeClient = (client: ServiceClient) => ({
  client_id: client.clientId,
  name: client.name,
  scopes: [...client.scopes],
  audiences: [...client.audiences],
  ...(client.ownerId !== undefined && { owner: client.ownerId }),
  created_at: time(client.createdAtMs),
  ...(client.disabledAtMs !== undefined && { disabled_at: time(client.disabledAtMs) }),
})

/** One of its secrets: when, and by which id it is revoked. */
export const describeClientSecret = ({ digest, createdAtMs, revokedAtMs }: ClientSecret) => ({
  secret_id: secretIdOf(digest),
  created_at: time(createdAtMs),
  ...(revokedAtMs !== undefined && { revoked_at: time(revokedAtMs) }),
})

import type { ServiceClient } from '../oauth/index.ts'

export type DescribedClient = {
  readonly client_id: string
  readonly name: string
  readonly created_at: string
  readonly disabled_at?: string
}

/** A service client as commands show it; of its secrets there is nothing to show. */
export const describeClient = (client: ServiceClient): DescribedClient => ({
  client_id: client.clientId,
  name: client.name,
  created_at: new Date(client.createdAtMs).toISOString(),
  ...(client.disabledAtMs !== undefined && {
    disabled_at: new Date(client.disabledAtMs).toISOString(),
  }),
})

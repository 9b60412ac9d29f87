import type { ServiceClient } from './service-client.ts'

export type NewServiceClient = {
  readonly clientId: string
  readonly name: string
  readonly secretDigest: Buffer
  readonly nowMs: number
}

export type ServiceClientStore = {
  /** False when a client that is not disabled has this name; then nothing is written. */
  readonly add: (client: NewServiceClient) => Promise<boolean>
  /** All of them, oldest first; there are as many as there are services. */
  readonly list: () => Promise<ServiceClient[]>
  /** Reads a client and keeps everybody else from changing it until the transaction ends. None: there is no such client. */
  readonly lock: (clientId: string) => Promise<ServiceClient | undefined>
  /** From the commit on the client may not call. One that is disabled already keeps the time it was. */
  readonly disable: (clientId: string, nowMs: number) => Promise<void>
  /** Digests of the secrets that let this client in: none when it is unknown or disabled, several while one replaces another. */
  readonly validDigests: (clientId: string) => Promise<Buffer[]>
}

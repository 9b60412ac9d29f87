/**
 * Owns service clients, the other programs that call Cardea as themselves, and what it offers them in OAuth's words: how the service
 * describes itself, and whether a token is good at this moment. It never signs people in, and keeps no secret of a client: what it
 * prints once is stored as a digest.
 */
export { authenticateServiceClient } from './authenticate-service-client.ts'
export { createServiceClient } from './create-service-client.ts'
export { disableServiceClient } from './disable-service-client.ts'
export { oauthErrors } from './errors.ts'
export { introspectToken } from './introspect-token.ts'
export { postgresServiceClientStore } from './postgres-service-client-store.ts'
export { introspectRoutes } from './routes/introspect.ts'
export { metadataRoutes } from './routes/metadata.ts'
export type { ServiceClient } from './service-client.ts'
export type { ServiceClientStore } from './service-client-store.ts'
export type { ServiceClientStores } from './service-client-work.ts'

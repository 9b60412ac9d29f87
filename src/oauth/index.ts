/**
 * Owns service clients, the other programs that call Cardea as themselves, and what it offers in OAuth's words: how the service
 * describes itself, tokens for services, the next token of a native app, taking a token back, and whether one is good at this moment.
 * It never signs people in, and keeps no secret of a client: what it prints once is stored as a digest.
 */
export { authenticateServiceClient } from './authenticate-service-client.ts'
export { clientProofs } from './client-proofs.ts'
export { addClientSecret, revokeClientSecret } from './client-secrets.ts'
export { createServiceClient } from './create-service-client.ts'
export { describeClient, describeClientSecret } from './describe-client.ts'
export { disableServiceClient } from './disable-service-client.ts'
export { oauthErrors } from './errors.ts'
export { grantClientCredentials } from './grant-client-credentials.ts'
export { grantRefreshToken } from './grant-refresh-token.ts'
export { introspectToken } from './introspect-token.ts'
export { postgresServiceClientStore } from './postgres-service-client-store.ts'
export { revokeToken } from './revoke-token.ts'
export { introspectRoutes } from './routes/introspect.ts'
export { metadataRoutes } from './routes/metadata.ts'
export { revokeRoutes } from './routes/revoke.ts'
export { tokenRoutes } from './routes/token.ts'
export { parseScope } from './scopes.ts'
export { secretIdPattern } from './service-client.ts'
export type { ServiceClientStore } from './service-client-store.ts'
export type { ServiceClientStores } from './service-client-work.ts'

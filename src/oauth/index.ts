/**
 * Owns service clients, the other programs that call Cardea as themselves, and what it offers in OAuth's words: how the service
 * describes itself, tokens for services, the next token of a native app, taking a token back, and whether one is good at this moment.
 * It never signs people in, and keeps no secret of a client: what it prints once is stored as a digest.
 */
export { authenticateServiceClient, clientProofs } from './authenticate-service-client.ts'
export { type IntrospectRouteDeps, introspectRoutes, introspectToken } from './introspect-token.ts'
export {
  type AddClientSecret,
  addClientSecret,
  type CreateServiceClient,
  createServiceClient,
  type DisableServiceClient,
  disableServiceClient,
  type RevokeClientSecret,
  revokeClientSecret,
} from './manage-service-clients.ts'
export { type MetadataDeps, metadataRoutes } from './metadata.ts'
export { type RevokeRouteDeps, revokeRoutes, revokeToken } from './revoke-token.ts'
export {
  type DescribeClient,
  describeClient,
  describeClientSecret,
  oauthErrors,
  secretIdPattern,
} from './service-client.ts'
export {
  postgresServiceClientStore,
  type ServiceClientStore,
  type ServiceClientStores,
} from './service-client-store.ts'
export {
  grantClientCredentials,
  grantRefreshToken,
  type TokenRouteDeps,
  tokenRoutes,
} from './token.ts'

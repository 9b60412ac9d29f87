/**
 * Owns service clients, the programs that call Cardea as themselves, and the OAuth endpoints: metadata, tokens for service clients, refresh
 * for native apps, token revocation and introspection. It never logs users in, and stores secrets of clients only as digests.
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

import { defineRoute, type Route } from '../http/route.ts'
import {
  type AddClientSecret,
  type CreateServiceClient,
  type DisableServiceClient,
  describeClient,
  describeClientSecret,
  oauthErrors,
  type RevokeClientSecret,
  type ServiceClientStore,
} from '../oauth/index.ts'
import { operatorOf } from './account-routes.ts'
import {
  addSecretSchema,
  changeClientSchema,
  createClientSchema,
  listClientsSchema,
  oneClientSchema,
  revokeSecretSchema,
} from './service-client-schemas.ts'

export type AdminClientRouteDeps = {
  readonly store: Pick<ServiceClientStore, 'list' | 'find' | 'secrets'>
  readonly create: CreateServiceClient
  readonly disable: DisableServiceClient
  readonly addSecret: AddClientSecret
  readonly revokeSecret: RevokeClientSecret
}

/** Reads are not audited, because the data is not personal. */
const clientReads = ({ store }: AdminClientRouteDeps): Route[] => [
  defineRoute({
    method: 'GET',
    path: '/admin/clients',
    access: 'operator',
    schema: listClientsSchema,
    handler: async () => ({
      clients: (await store.list()).map(describeClient),
    }),
  }),
  defineRoute({
    method: 'GET',
    path: '/admin/clients/:id',
    access: 'operator',
    schema: oneClientSchema,
    handler: async (request) => {
      const client = await store.find(request.params.id)
      if (!client) throw oauthErrors.error('client_not_found')
      const secrets = await store.secrets(client.clientId)
      return { ...describeClient(client), secrets: secrets.map(describeClientSecret) }
    },
  }),
]

const clientActs = (deps: AdminClientRouteDeps): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/admin/clients',
    access: 'operator',
    schema: createClientSchema,
    handler: async (request, reply) => {
      const { owner: ownerId, ...wanted } = request.body
      const { clientSecret, ...created } = await deps.create({
        ...wanted,
        ...(ownerId !== undefined && { ownerId }),
        ...operatorOf(request),
      })
      return reply.code(201).send({ ...describeClient(created), client_secret: clientSecret })
    },
  }),
  defineRoute({
    method: 'PATCH',
    path: '/admin/clients/:id',
    access: 'operator',
    schema: changeClientSchema,
    handler: async (request) =>
      describeClient(await deps.disable({ clientId: request.params.id, ...operatorOf(request) })),
  }),
  defineRoute({
    method: 'POST',
    path: '/admin/clients/:id/secrets',
    access: 'operator',
    schema: addSecretSchema,
    handler: async (request, reply) => {
      const added = await deps.addSecret({ clientId: request.params.id, ...operatorOf(request) })
      return reply.code(201).send({
        client_id: added.clientId,
        secret_id: added.secretId,
        client_secret: added.clientSecret,
        created_at: new Date(added.createdAtMs).toISOString(),
      })
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/admin/clients/:id/secrets/:secret_id',
    access: 'operator',
    schema: revokeSecretSchema,
    handler: async (request, reply) => {
      const { id: clientId, secret_id: secretId } = request.params
      await deps.revokeSecret({ clientId, secretId, ...operatorOf(request) })
      return reply.code(204).send(null)
    },
  }),
]

export const adminClientRoutes = (deps: AdminClientRouteDeps): Route[] => [
  ...clientReads(deps),
  ...clientActs(deps),
]

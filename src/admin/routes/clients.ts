import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import {
  type addClientSecret,
  type createServiceClient,
  describeClient,
  describeClientSecret,
  type disableServiceClient,
  oauthErrors,
  type revokeClientSecret,
  type ServiceClientStore,
} from '../../oauth/index.ts'
import {
  addSecretSchema,
  changeClientSchema,
  createClientSchema,
  listClientsSchema,
  oneClientSchema,
  revokeSecretSchema,
} from '../schemas.ts'
import { operatorOf } from './operator.ts'

export type AdminClientRouteDeps = {
  readonly store: Pick<ServiceClientStore, 'list' | 'find' | 'secrets'>
  readonly create: ReturnType<typeof createServiceClient>
  readonly disable: ReturnType<typeof disableServiceClient>
  readonly addSecret: ReturnType<typeof addClientSecret>
  readonly revokeSecret: ReturnType<typeof revokeClientSecret>
}

const config = { access: 'operator' } as const

/** Looking is not in the trail: nothing in it is personal. */
const clientReads = (instance: FastifyInstance, { store }: AdminClientRouteDeps): void => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()

  app.get('/admin/clients', { schema: listClientsSchema, config }, async () => ({
    clients: (await store.list()).map(describeClient),
  }))

  app.get('/admin/clients/:id', { schema: oneClientSchema, config }, async (request) => {
    const client = await store.find(request.params.id)
    if (!client) throw oauthErrors.error('client_not_found')
    const secrets = await store.secrets(client.clientId)
    return { ...describeClient(client), secrets: secrets.map(describeClientSecret) }
  })
}

const clientActs = (instance: FastifyInstance, deps: AdminClientRouteDeps): void => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()

  app.post('/admin/clients', { schema: createClientSchema, config }, async (request, reply) => {
    const { owner: ownerId, ...wanted } = request.body
    const { clientSecret, ...created } = await deps.create({
      ...wanted,
      ...(ownerId !== undefined && { ownerId }),
      ...operatorOf(request),
    })
    return reply.code(201).send({ ...describeClient(created), client_secret: clientSecret })
  })

  app.patch('/admin/clients/:id', { schema: changeClientSchema, config }, async (request) =>
    describeClient(await deps.disable({ clientId: request.params.id, ...operatorOf(request) })),
  )

  app.post(
    '/admin/clients/:id/secrets',
    { schema: addSecretSchema, config },
    async (request, reply) => {
      const added = await deps.addSecret({ clientId: request.params.id, ...operatorOf(request) })
      return reply.code(201).send({
        client_id: added.clientId,
        secret_id: added.secretId,
        client_secret: added.clientSecret,
        created_at: new Date(added.createdAtMs).toISOString(),
      })
    },
  )

  app.delete(
    '/admin/clients/:id/secrets/:secret_id',
    { schema: revokeSecretSchema, config },
    async (request, reply) => {
      const { id: clientId, secret_id: secretId } = request.params
      await deps.revokeSecret({ clientId, secretId, ...operatorOf(request) })
      return reply.code(204).send(null)
    },
  )
}

export const adminClientRoutes =
  (deps: AdminClientRouteDeps) =>
  (app: FastifyInstance): void => {
    clientReads(app, deps)
    clientActs(app, deps)
  }

import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import {
  type addClientSecret,
  type ClientSecret,
  type createServiceClient,
  type disableServiceClient,
  oauthErrors,
  type revokeClientSecret,
  type ServiceClient,
  type ServiceClientStore,
  secretIdOf,
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

const time = (ms: number): string => new Date(ms).toISOString()

const describe = (client: ServiceClient) => ({
  client_id: client.clientId,
  name: client.name,
  scopes: [...client.scopes],
  audiences: [...client.audiences],
  created_at: time(client.createdAtMs),
  ...(client.disabledAtMs !== undefined && { disabled_at: time(client.disabledAtMs) }),
})

const describeSecret = ({ digest, createdAtMs, revokedAtMs }: ClientSecret) => ({
  id: secretIdOf(digest),
  created_at: time(createdAtMs),
  ...(revokedAtMs !== undefined && { revoked_at: time(revokedAtMs) }),
})

/** Looking is not in the trail: nothing in it is personal. */
const clientReads = (instance: FastifyInstance, { store }: AdminClientRouteDeps): void => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()

  app.get('/admin/clients', { schema: listClientsSchema, config }, async () => ({
    clients: (await store.list()).map(describe),
  }))

  app.get('/admin/clients/:id', { schema: oneClientSchema, config }, async (request) => {
    const client = await store.find(request.params.id)
    if (!client) throw oauthErrors.error('client_not_found')
    const secrets = await store.secrets(client.clientId)
    return { ...describe(client), secrets: secrets.map(describeSecret) }
  })
}

const clientActs = (instance: FastifyInstance, deps: AdminClientRouteDeps): void => {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()

  app.post('/admin/clients', { schema: createClientSchema, config }, async (request, reply) => {
    const { clientSecret, ...created } = await deps.create({
      ...request.body,
      ...operatorOf(request),
    })
    return reply.code(201).send({ ...describe(created), client_secret: clientSecret })
  })

  app.patch('/admin/clients/:id', { schema: changeClientSchema, config }, async (request) =>
    describe(await deps.disable({ clientId: request.params.id, ...operatorOf(request) })),
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
        created_at: time(added.createdAtMs),
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

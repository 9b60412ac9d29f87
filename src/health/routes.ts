import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { liveSchema, readySchema } from './schemas.ts'

/** Resolves when the store answers, rejects when it does not in time. */
type Probe = () => Promise<void>

export type HealthDeps = {
  readonly postgres: Probe
  /** Undefined: this process does without. */
  readonly redis: Probe | undefined
}

const stateOf = async (probe: Probe): Promise<'ready' | 'unreachable'> =>
  probe().then(
    () => 'ready',
    () => 'unreachable',
  )

/** Without Redis everything still works, so only Postgres decides whether requests should come here. */
const statusOf = (postgres: string, redis: string): 'ready' | 'degraded' | 'not_ready' => {
  if (postgres !== 'ready') return 'not_ready'
  return redis === 'unreachable' ? 'degraded' : 'ready'
}

export const healthRoutes =
  ({ postgres, redis }: HealthDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()

    app.get('/health/live', { schema: liveSchema, config: { access: 'public' } }, async () => ({
      status: 'live' as const,
    }))

    app.get(
      '/health/ready',
      { schema: readySchema, config: { access: 'public' } },
      async (_request, reply) => {
        const [postgresState, redisState] = await Promise.all([
          stateOf(postgres),
          redis ? stateOf(redis) : ('in_process' as const),
        ])
        const status = statusOf(postgresState, redisState)
        const stores = { postgres: postgresState, redis: redisState }
        return reply.code(status === 'not_ready' ? 503 : 200).send({ status, stores })
      },
    )
  }

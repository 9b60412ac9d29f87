import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { liveSchema, readySchema } from './schemas.ts'

/** Resolves when the store answers, rejects when it does not in time. */
type Probe = () => Promise<void>

export type HealthDeps = {
  readonly postgres: Probe
  /** Undefined: this process does without. */
  readonly redis: Probe | undefined
  /** Whether this process has read what is revoked. */
  readonly knowsRevocations: () => boolean
  /** Whether Postgres has lost commits, and what was issued before still counts. */
  readonly hasLostData: () => boolean
}

const stateOf = async (probe: Probe): Promise<'ready' | 'unreachable'> =>
  probe().then(
    () => 'ready',
    () => 'unreachable',
  )

/** Without Redis everything still works, so only Postgres, and what has to be read from it first, decide whether requests should come. */
const statusOf = (
  postgres: string,
  redis: string,
  revocations: 'ready' | 'loading',
  data: 'complete' | 'lost',
): 'ready' | 'degraded' | 'not_ready' => {
  if (postgres !== 'ready' || revocations !== 'ready') return 'not_ready'
  return redis === 'unreachable' || data === 'lost' ? 'degraded' : 'ready'
}

export const healthRoutes =
  ({ postgres, redis, knowsRevocations, hasLostData }: HealthDeps) =>
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
        const revocations = knowsRevocations() ? 'ready' : 'loading'
        const data = hasLostData() ? 'lost' : 'complete'
        const status = statusOf(postgresState, redisState, revocations, data)
        const stores = { postgres: postgresState, redis: redisState }
        return reply
          .code(status === 'not_ready' ? 503 : 200)
          .send({ status, stores, revocations, data })
      },
    )
  }

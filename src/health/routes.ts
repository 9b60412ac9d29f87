import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { liveSchema, readySchema } from './schemas.ts'

/** Resolves when the store answers, rejects when it does not in time. */
type Probe = () => Promise<void>

export type HealthDeps = {
  readonly postgres: Probe
  /** Whether the probe failed because Postgres takes no writes. */
  readonly isNotPrimary: (error: unknown) => boolean
  /** Undefined: this process does without. */
  readonly redis: Probe | undefined
  /** Whether this process has read what is revoked. */
  readonly knowsRevocations: () => boolean
  /** Whether Postgres has lost commits, and what was issued before still counts. */
  readonly hasLostData: () => boolean
  /** Whether the log is behind and lines of it are lost. */
  readonly dropsLogLines: () => boolean
  /** How this machine's wall clock compares with Postgres's. */
  readonly clock: () => Clock
}

type Clock = 'agrees' | 'differs' | 'too_far'

type Parts = {
  readonly revocations: 'ready' | 'loading'
  readonly data: 'complete' | 'lost'
  readonly log: 'complete' | 'dropping'
  readonly clock: Clock
}

/** Health is told whatever the clocks say. */
const config = { access: 'public', timeless: true } as const

const stateOf = async (
  probe: Probe,
  isNotPrimary: HealthDeps['isNotPrimary'] = () => false,
): Promise<'ready' | 'unreachable' | 'not_primary'> =>
  probe().then(
    () => 'ready',
    (error: unknown) => (isNotPrimary(error) ? 'not_primary' : 'unreachable'),
  )

/**
 * Without Redis or a log everything still works, so only Postgres, and what has to be read from it first, decide whether requests should come. A
 * machine whose clock is far off is likely to have other faults: the process works, and others should serve.
 */
const statusOf = (
  stores: { readonly postgres: string; readonly redis: string },
  { revocations, data, log, clock }: Parts,
): 'ready' | 'degraded' | 'not_ready' => {
  const isReady = stores.postgres === 'ready' && revocations === 'ready' && clock !== 'too_far'
  if (!isReady) return 'not_ready'
  const isWhole = stores.redis !== 'unreachable' && log === 'complete' && data === 'complete'
  return isWhole ? 'ready' : 'degraded'
}

export const healthRoutes =
  ({ postgres, isNotPrimary, redis, clock, ...deps }: HealthDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()

    app.get('/health/live', { schema: liveSchema, config }, async () => ({
      status: 'live' as const,
    }))

    app.get('/health/ready', { schema: readySchema, config }, async (_request, reply) => {
      const [postgresState, redisState] = await Promise.all([
        stateOf(postgres, isNotPrimary),
        redis ? stateOf(redis) : ('in_process' as const),
      ])
      const parts = {
        revocations: deps.knowsRevocations() ? 'ready' : 'loading',
        data: deps.hasLostData() ? 'lost' : 'complete',
        log: deps.dropsLogLines() ? 'dropping' : 'complete',
        clock: clock(),
      } as const
      const stores = { postgres: postgresState, redis: redisState }
      const status = statusOf(stores, parts)
      return reply.code(status === 'not_ready' ? 503 : 200).send({ status, stores, ...parts })
    })
  }

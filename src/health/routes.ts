import { defineRoute, type Route } from '../http/route.ts'
import { systemClock } from '../lib/machine.ts'
import { shareCurrentRead } from '../lib/share-reads.ts'
import { type HealthDeps, partsBy, statusOf, storesBy } from './readiness.ts'
import { liveSchema, readySchema } from './schemas.ts'

/**
 * How long a readiness result is cached, because anyone may request it at any rate. Uses the clock of the machine, even in tests that set
 * the time of the service.
 */
const probeKeptMs = 1_000

/** Health checks do not wait for the clock. */
export const healthRoutes = (given: HealthDeps): Route[] => {
  const kept = { clock: systemClock, keepMs: probeKeptMs }
  const { postgres, redis, ...rest } = given
  const deps: HealthDeps = {
    ...rest,
    postgres: shareCurrentRead(postgres, kept),
    redis: redis && {
      ...redis,
      assertTakesWrites: shareCurrentRead(redis.assertTakesWrites, kept),
    },
  }
  return [
    defineRoute({
      method: 'GET',
      path: '/health/live',
      access: 'public',
      timeless: true,
      schema: liveSchema,
      handler: async () => ({
        status: 'live' as const,
      }),
    }),
    defineRoute({
      method: 'GET',
      path: '/health/ready',
      access: 'public',
      timeless: true,
      schema: readySchema,
      handler: async (_request, reply) => {
        const stores = await storesBy(deps)
        const parts = partsBy(deps)
        const status = statusOf(stores, parts)
        return reply.code(status === 'not_ready' ? 503 : 200).send({ status, stores, ...parts })
      },
    }),
  ]
}

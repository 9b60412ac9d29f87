import { Type } from 'typebox'
import { defineRoute, type Route } from '../http/route.ts'
import { systemClock } from '../lib/machine.ts'
import { shareCurrentRead } from '../lib/share-reads.ts'

const liveSchema = {
  summary: 'The process runs',
  response: { 200: Type.Object({ status: Type.Literal('live') }) },
}

const storeState = Type.Union([
  Type.Literal('ready'),
  Type.Literal('unreachable'),
  Type.Literal('not_primary', {
    description: 'Postgres answers, but as a standby or set to read only; it is not used then',
  }),
  Type.Literal('refuses_writes', {
    description:
      'Redis answers and takes no writes: a replica, full, a node of a Cluster behind the URL of a single server, or its user may not',
  }),
  Type.Literal('in_process', {
    description: 'No such store is configured; this process does its work',
  }),
])

const readiness = Type.Object({
  status: Type.Union([
    Type.Literal('ready'),
    Type.Literal('degraded', {
      description: 'Requests are served; the other members say what is wrong',
    }),
    Type.Literal('not_ready'),
  ]),
  stores: Type.Object({ postgres: storeState, redis: storeState }),
  revocations: Type.Union([
    Type.Literal('ready'),
    Type.Literal('loading', {
      description: 'This process has not read yet what is revoked; it goes on trying',
    }),
  ]),
  data: Type.Union([
    Type.Literal('complete'),
    Type.Literal('lost', {
      description:
        'Postgres lost commits in a fail-over. Until everything is revoked, sessions that had ended may be alive',
    }),
  ]),
  log: Type.Union([
    Type.Literal('complete'),
    Type.Literal('dropping', {
      description:
        'Standard output takes no lines, and some are lost: the disk is full, or its reader stands still',
    }),
  ]),
  clock: Type.Union([
    Type.Literal('agrees'),
    Type.Literal('differs', {
      description:
        'The clock of this machine is more than 5 s off that of Postgres, which is used instead',
    }),
    Type.Literal('too_far', { description: 'The same, by more than 30 s: not ready' }),
  ]),
  process: Type.Union([
    Type.Literal('serving'),
    Type.Literal('stopping', {
      description:
        'The process was asked to stop. It serves what comes for SHUTDOWN_DELAY_SECONDS: not ready, so that load balancers send nothing more',
    }),
  ]),
})

const readySchema = {
  summary: 'Whether requests can be served, and what is not ready',
  response: { 200: readiness, 503: readiness },
}

/** Resolves when the store answers, rejects when it does not in time. */
type Probe = () => Promise<void>

export type HealthDeps = {
  readonly postgres: Probe
  /** Whether the probe failed because Postgres takes no writes. */
  readonly isNotPrimary: (error: unknown) => boolean
  /** Undefined: this process does without. */
  readonly redis:
    | { readonly assertTakesWrites: Probe; readonly refusesWrites: (error: unknown) => boolean }
    | undefined
  /** Whether this process has read what is revoked. */
  readonly knowsRevocations: () => boolean
  /** Whether Postgres has lost commits, and what was issued before still counts. */
  readonly hasLostData: () => boolean
  /** Whether the log is behind and lines of it are lost. */
  readonly dropsLogLines: () => boolean
  /** How this machine's wall clock compares with Postgres's. */
  readonly clock: () => Clock
  /** Whether the process was asked to stop; it still serves what comes. */
  readonly isStopping: () => boolean
}

type Clock = 'agrees' | 'differs' | 'too_far'

type Parts = {
  readonly revocations: 'ready' | 'loading'
  readonly data: 'complete' | 'lost'
  readonly log: 'complete' | 'dropping'
  readonly clock: Clock
  readonly process: 'serving' | 'stopping'
}

/** `useless`: what a store is called that replies, and cannot be used. */
const stateOf = async <State extends string>(
  probe: Probe,
  isUseless: (error: unknown) => boolean,
  useless: State,
): Promise<'ready' | 'unreachable' | State> =>
  probe().then(
    () => 'ready',
    (error: unknown) => (isUseless(error) ? useless : 'unreachable'),
  )

/**
 * Without Redis or a log everything still works, so only Postgres, and what has to be read from it first, decide whether requests should come. A
 * machine whose clock is far off is likely to have other faults: the process works, and others should serve.
 */
const statusOf = (
  stores: { readonly postgres: string; readonly redis: string },
  { revocations, data, log, clock, process }: Parts,
): 'ready' | 'degraded' | 'not_ready' => {
  const knowsAll = stores.postgres === 'ready' && revocations === 'ready'
  if (!knowsAll || clock === 'too_far' || process === 'stopping') return 'not_ready'
  const hasRedis = stores.redis === 'ready' || stores.redis === 'in_process'
  const isWhole = hasRedis && log === 'complete' && data === 'complete'
  return isWhole ? 'ready' : 'degraded'
}

const storesBy = async ({ postgres, isNotPrimary, redis }: HealthDeps) => {
  const [postgresState, redisState] = await Promise.all([
    stateOf(postgres, isNotPrimary, 'not_primary'),
    redis ? stateOf(redis.assertTakesWrites, redis.refusesWrites, 'refuses_writes') : 'in_process',
  ] as const)
  return { postgres: postgresState, redis: redisState }
}

const partsBy = (deps: HealthDeps): Parts => ({
  revocations: deps.knowsRevocations() ? 'ready' : 'loading',
  data: deps.hasLostData() ? 'lost' : 'complete',
  log: deps.dropsLogLines() ? 'dropping' : 'complete',
  clock: deps.clock(),
  process: deps.isStopping() ? 'stopping' : 'serving',
})

/**
 * How old an answer to "is it ready" may be: anybody may ask, and as often as they like. By the clock of the machine, also in tests that set
 * the time of the service.
 */
const probeKeptMs = 1_000

/** Health is told whatever the clocks say. */
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

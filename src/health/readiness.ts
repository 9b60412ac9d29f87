/** Resolves when the store responds. Rejects when it does not respond in time. */
type Probe = () => Promise<void>

export type HealthDeps = {
  readonly postgres: Probe
  /** Whether the probe failed because Postgres accepts no writes. */
  readonly isNotPrimary: (error: unknown) => boolean
  /** Undefined: no Redis is configured. */
  readonly redis:
    | { readonly assertTakesWrites: Probe; readonly refusesWrites: (error: unknown) => boolean }
    | undefined
  /** Whether this process has loaded the revocations. */
  readonly knowsRevocations: () => boolean
  /** Whether Postgres has lost commits and earlier credentials are still valid. */
  readonly hasLostData: () => boolean
  /** Whether log lines are being dropped. */
  readonly dropsLogLines: () => boolean
  /** How this machine's wall clock compares with that of Postgres. */
  readonly clock: () => Clock
  /** Whether the process received a stop signal. It still serves requests. */
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

/** `useless`: the state of a store that responds but cannot be used. */
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
 * Without Redis or a log everything still works, so only Postgres, and what must be read from it first, decide whether the process is
 * ready. A machine whose clock is far off may have other faults: the process works, but other replicas should serve.
 */
export const statusOf = (
  stores: { readonly postgres: string; readonly redis: string },
  { revocations, data, log, clock, process }: Parts,
): 'ready' | 'degraded' | 'not_ready' => {
  const knowsAll = stores.postgres === 'ready' && revocations === 'ready'
  if (!knowsAll || clock === 'too_far' || process === 'stopping') return 'not_ready'
  const hasRedis = stores.redis === 'ready' || stores.redis === 'in_process'
  const isWhole = hasRedis && log === 'complete' && data === 'complete'
  return isWhole ? 'ready' : 'degraded'
}

export const storesBy = async ({ postgres, isNotPrimary, redis }: HealthDeps) => {
  const [postgresState, redisState] = await Promise.all([
    stateOf(postgres, isNotPrimary, 'not_primary'),
    redis ? stateOf(redis.assertTakesWrites, redis.refusesWrites, 'refuses_writes') : 'in_process',
  ] as const)
  return { postgres: postgresState, redis: redisState }
}

export const partsBy = (deps: HealthDeps): Parts => ({
  revocations: deps.knowsRevocations() ? 'ready' : 'loading',
  data: deps.hasLostData() ? 'lost' : 'complete',
  log: deps.dropsLogLines() ? 'dropping' : 'complete',
  clock: deps.clock(),
  process: deps.isStopping() ? 'stopping' : 'serving',
})

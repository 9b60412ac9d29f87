import { setTimeout as sleep } from 'node:timers/promises'

/** The result of one round of load. Times are milliseconds of wall clock as the client measured them. */
export type Sample = {
  readonly count: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
  /** CPU time of the process that made the load, as a share of one core. Near 1, the load itself was the limit. */
  readonly cpuShare: number
}

/** The nearest-rank percentile; zero for an empty list. */
const percentile = (sorted: Float64Array, share: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0

export const sampleOf = (
  latenciesMs: readonly number[],
  elapsedMs: number,
  cpuShare: number,
): Sample => {
  const sorted = Float64Array.from(latenciesMs).sort()
  return {
    count: sorted.length,
    perSecond: (sorted.length * 1000) / elapsedMs,
    p50Ms: percentile(sorted, 0.5),
    p95Ms: percentile(sorted, 0.95),
    p99Ms: percentile(sorted, 0.99),
    cpuShare,
  }
}

/** One operation that is repeated, each time after the previous one has finished. */
export type Lane = () => Promise<void>

/** The duration or the total number of operations, whichever is given; with `perSecond`, started no faster than that. */
export type Extent = ({ readonly seconds: number } | { readonly count: number }) & {
  readonly perSecond?: number
}

/** Resolves when the next turn is due. Turns that were missed while all lanes were busy are made up for. */
const paced = (perSecond: number) => {
  const startMs = performance.now()
  let turns = 0
  return async (): Promise<void> => {
    const dueMs = startMs + (turns * 1000) / perSecond
    turns += 1
    const waitMs = dueMs - performance.now()
    if (waitMs > 0) await sleep(waitMs)
  }
}

/** Runs all lanes in parallel (a closed loop: as many operations at once as there are lanes) and times every turn. */
export const runLanes = async (lanes: readonly Lane[], extent: Extent): Promise<Sample> => {
  const latenciesMs: number[] = []
  const cpuBefore = process.cpuUsage()
  const startMs = performance.now()
  let turnsLeft = 'count' in extent ? extent.count : Number.POSITIVE_INFINITY
  const endMs = 'seconds' in extent ? startMs + extent.seconds * 1000 : Number.POSITIVE_INFINITY
  const pace = extent.perSecond === undefined ? undefined : paced(extent.perSecond)
  const drive = async (lane: Lane): Promise<void> => {
    let beganMs = performance.now()
    while (beganMs < endMs && turnsLeft > 0) {
      turnsLeft -= 1
      if (pace) {
        await pace()
        beganMs = performance.now()
      }
      await lane()
      const endedMs = performance.now()
      latenciesMs.push(endedMs - beganMs)
      beganMs = endedMs
    }
  }
  await Promise.all(lanes.map(drive))
  const elapsedMs = performance.now() - startMs
  const cpu = process.cpuUsage(cpuBefore)
  return sampleOf(latenciesMs, elapsedMs, (cpu.user + cpu.system) / 1000 / elapsedMs)
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2
}

/** The median of each figure separately: one disturbed round changes none of them much. */
export const medianSample = (samples: readonly Sample[]): Sample => {
  const of = (pick: (sample: Sample) => number): number => median(samples.map(pick))
  return {
    count: samples.reduce((sum, { count }) => sum + count, 0),
    perSecond: of(({ perSecond }) => perSecond),
    p50Ms: of(({ p50Ms }) => p50Ms),
    p95Ms: of(({ p95Ms }) => p95Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
    cpuShare: of(({ cpuShare }) => cpuShare),
  }
}

import type { Detail } from './row.ts'
import { median, medianSample, type Sample } from './sample.ts'
import type { Server, Stage } from './stage.ts'

/** A sample with the costs of the servers. */
export type Measured = Sample & {
  readonly serverCpuShare: number
  readonly postgresCpuShare: number
  readonly peakMb: number
}

/** Runs one round, and reads the CPU of the servers and of Postgres, and the servers' memory, before and after. */
export const measure = async (
  stage: Stage,
  servers: readonly Server[],
  round: () => Promise<Sample>,
): Promise<Measured> => {
  const look = async () => {
    const usages = await Promise.all(
      servers.map(async (server) => await server.call('usage', null)),
    )
    return {
      atMs: performance.now(),
      serverSeconds: usages.reduce((sum, { cpuMicros }) => sum + cpuMicros / 1e6, 0),
      postgresSeconds: await stage.postgresCpuSeconds(),
      peakMb: Math.max(0, ...usages.map(({ peakMb }) => peakMb)),
    }
  }
  const before = await look()
  const sample = await round()
  const after = await look()
  const elapsedSeconds = (after.atMs - before.atMs) / 1000
  return {
    ...sample,
    serverCpuShare: (after.serverSeconds - before.serverSeconds) / elapsedSeconds,
    postgresCpuShare: (after.postgresSeconds - before.postgresSeconds) / elapsedSeconds,
    peakMb: after.peakMb,
  }
}

const isMeasured = (sample: Sample): sample is Measured => 'serverCpuShare' in sample

export const detailOf = (what: string, samples: readonly Sample[]): Detail => {
  const measured = samples.filter(isMeasured)
  const of = (pick: (sample: Measured) => number): number => median(measured.map(pick))
  return {
    what,
    ...medianSample(samples),
    ...(measured.length > 0 && {
      serverCpuShare: of(({ serverCpuShare }) => serverCpuShare),
      postgresCpuShare: of(({ postgresCpuShare }) => postgresCpuShare),
      peakMb: Math.max(...measured.map(({ peakMb }) => peakMb)),
    }),
  }
}
